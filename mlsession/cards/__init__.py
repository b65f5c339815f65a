"""The card of a model: what is known of it, as a README that the Hugging Face Hub understands. Pure; no torch."""

from mlsession.cards.card import card_text
from mlsession.cards.facts import CardFacts, DataFacts, ExtractorFacts, shortened
from mlsession.cards.seal import is_sealed, sealed

__all__ = ["CardFacts", "DataFacts", "ExtractorFacts", "card_text", "is_sealed", "sealed", "shortened"]
