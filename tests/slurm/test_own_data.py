"""Jobs on data of the user's own: they read them as the file said at submission."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.commands.run import main
from mila.common.user_code import load_file
from tests.support.own_data import own_file
from tests.support.slurm_bench import SITE
from tests.support.slurm_cluster import Cluster


def test_jobs_read_the_data_as_their_file_was_at_submission(
    cluster: Cluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file, results, site = own_file(tmp_path / "data"), tmp_path / "results", tmp_path / "site.toml"
    site.write_text(SITE, encoding="utf-8")
    words = ["--grid", "table2", "--profile", "smoke", "--rows", "D101-MultiTask", "--data", str(file)]
    busy = cluster.run("sbatch", "-c4", "-o", "/dev/null", "--wrap", "sleep 600").split()[-1]
    assert main([*words, "--results", str(results), "--slurm", str(site)]) == 0
    file.write_text("raise RuntimeError('edited after submission')\n", encoding="utf-8")
    load_file.cache_clear()
    cluster.run("scancel", busy)
    assert main(["--wait", "--results", str(results)]) == 0
    assert "data of your own: mine" in capfd.readouterr().out  # the report, by the copy
    assert (results / "reports" / "table2-data-mine-smoke.html").is_file()
