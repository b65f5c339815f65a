"""Train on changed copies of the photos as well: mirrored, turned, lighter and darker.

    python examples/augmentation.py PHOTOS SESSION

Each training photo gets more views; photos held out for validation stay as they are. The views follow from the seed and
the photo alone, so a killed training goes on with the same ones. See them first with `mlsession augment-preview`.
"""

from __future__ import annotations

import argparse

import mlsession as ml


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", help="a folder with one sub-folder for each label")
    parser.add_argument("session", help="where the session is kept")
    arguments = parser.parse_args()

    parameters = ml.ModelParameters(
        # By name with sensible ranges, or with your own: fruit may lie at any angle, and few views keep it quick.
        augmentation={"flip", ml.Rotate(views=2, degrees=(-45.0, 45.0)), ml.Expose(views=2)},
        validation=ml.Validation.split(0.3),
    )
    print(f"{len(parameters.views)} views of each training photo")
    classifier = ml.Classifier.train(
        ml.DataSource.labeled_directories(arguments.photos), parameters, ml.SessionParameters(arguments.session)
    ).result()
    print(f"trained on {classifier.training_metrics.count} photos")
    print(f"validation accuracy {classifier.validation_metrics.accuracy:.1%}")


if __name__ == "__main__":
    main()
