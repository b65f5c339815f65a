"""What a real notebook shows."""

from __future__ import annotations

from pathlib import Path

from tests.photos import copy_photos

from .kernels import kernel

TRAIN = """
import mlsession as ml
job = ml.Classifier.train(
    ml.DataSource.labeled_directories("photos"),
    session=ml.SessionParameters("session", report_interval=1, checkpoint_interval=1),
)
job
"""


def test_a_job_is_live_and_values_show_themselves(tmp_path: Path) -> None:
    copy_photos(tmp_path / "photos", "train", 5, ("Kiwi", "Lemon"))
    with kernel(str(tmp_path)) as notebook:
        cell = notebook.run(TRAIN, until_update="Job: finished")
        assert cell.errors == []
        assert len(cell.shown) == 1
        assert "Job: running" in cell.shown[0]
        # It was shown once and replaced while it ran: the cell does not fill up.
        assert "evaluating" in cell.updates[-1]
        assert "accuracy" in cell.updates[-1]

        (classifier,) = notebook.run("job.result()").shown
        assert "Kiwi, Lemon" in classifier
        (metrics,) = notebook.run("job.result().training_metrics").shown
        assert "accuracy 100.0 % (10 of 10)" in metrics
        (session,) = notebook.run("ml.Classifier.restore_training_session(ml.SessionParameters('session'))").shown
        assert "finished" in session
        (prediction,) = notebook.run(
            "job.result().predict('photos/Lemon/' + __import__('os').listdir('photos/Lemon')[0])"
        ).shown
        assert "Lemon" in prediction
        # Asked again, a job that has ended shows its end at once.
        again = notebook.run("job", until_update="Job: finished")
        assert "Job: finished" in again.shown[0]
