"""The command line that trains a session, said again with a change; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingLine:
    """How a session is trained: what its commands name."""

    session: str = ""
    """Its URL, without credentials; "" where nobody can name it."""
    data: str = ""
    """The training source as `train` takes it; "" where it takes no such source."""
    test: str = ""
    """The test source, likewise; "" also without one."""
    options: Mapping[str, str | tuple[str, ...]] | None = field(default=None)
    """All other options of `train` that are not the default, such as {"--seed": "3"}, in order; of a flag the value is
    "", of an option that is repeated all of them. None where its parameters cannot be said on a command line."""

    def again(self, changed: Mapping[str, str], name: str = "") -> tuple[str, ...]:
        """Words that train with `changed` options: the same session, or with a `name` a new one beside it.

        () where there are none.
        """
        if not (self.session and self.data and self.options is not None):
            return ()
        session = self._beside(name) if name else self.session
        tested = {"--test": self.test} if self.test else {}
        options = {"--session": session, **tested, **self.options, **changed}
        words = ["train", self.data]
        for option, said in options.items():
            for value in (said,) if isinstance(said, str) else said:
                words += [option, value] if value else [option]
        return tuple(words)

    def about(self, *words: str) -> tuple[str, ...]:
        """Words of a command on the session, its name after the first; () where nobody can name it."""
        return (words[0], self.session, *words[1:]) if self.session else ()

    def on_data(self, words: Sequence[str], *carried: str) -> tuple[str, ...]:
        """Words of a command on the training source, its name after the first, with what `train` was told of it.

        `carried` names options that the command takes as `train` does, such as "--group-by"; those that nobody can say
        are left out. () where nobody can name the source.
        """
        if not self.data:
            return ()
        known = self.options or {}
        said = [(option, known[option]) for option in carried if option in known]
        return (words[0], self.data, *words[1:], *(word for option, text in said for word in (option, str(text))))

    def _beside(self, name: str) -> str:
        stem = self.session.rstrip("/")
        return f"{stem.removesuffix('.mlsession')}-{name}.mlsession"
