"""Say what all images of a folder or a bucket show, in a table; go on with the same line after any interruption.

    python examples/predict_folder.py MODEL IMAGES TABLE

For example `fruit.mlsession s3://bucket/photos results.parquet`. MODEL is a session or a saved model; TABLE ends in
.csv or .parquet.
"""

from __future__ import annotations

import argparse

import mlsession as ml


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a session, or a saved model")
    parser.add_argument("images", help="a folder or a URL; labels are not needed")
    parser.add_argument("table", help="what to write")
    arguments = parser.parse_args()

    job = ml.Classifier.load(arguments.model).make_prediction_job(arguments.images, arguments.table, top_k=2)
    with ml.stop_on_signals(job):
        report = job.result()
    print(f"predicted {report.num_predicted} images, {report.num_skipped} cannot be read")
    for label, count in report.counts.items():
        print(f"  {label}: {count}")


if __name__ == "__main__":
    main()
