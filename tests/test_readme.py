"""The README: its commands are understood, its examples run, its tables and pictures are what is there."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

from data_scripts import doctor, example_photos, import_photos
from data_scripts.city import plan
from data_scripts.toy_city import parser as city_parser
from tests.conftest import make_street
from tests.importing.made import small_city
from tests.own import vouch
from tests.synthetic_assets import drawing, export_baseline, export_dataset, pictures
from tests.tiny import TINY
from vg_core import __main__ as cli
from vg_core.config import Config
from vg_core.losses import tuples
from vg_core.models import build_model, save_model
from vg_core.system import paths

sys.path.insert(0, str(paths.REPORTS))
import build
import readme
import run_notebooks as runner

ROOT = paths.ROOT
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.replace("\\\n", " ").splitlines()]
SCRIPTS = {
    f"data_scripts/{script.__name__.rpartition('.')[2]}.py": script
    for script in (doctor, example_photos, import_photos)
}
PICTURE_BYTES = 150_000


# --- commands and examples ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_understood(line, monkeypatch):
    ran = []
    words = [word for word in shlex.split(line, comments=True) if not word.startswith("VG_")]
    for name in ("Train", "Test", "Benchmark", "Describe", "Locate", "Soup", "Cache"):
        monkeypatch.setattr(getattr(cli, name), "__call__", lambda command: ran.append(command))
    monkeypatch.setattr(runner, "execute", lambda *_: ran.append("notebooks") or [])
    if words[0] == "make":
        assert subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, stdout=subprocess.DEVNULL).returncode == 0
    elif "vg_core" in words:
        assert cli.main(words[words.index("vg_core") + 1 :]) == 0 and ran
    elif "reports/run_notebooks.py" in words:
        assert runner.main(words[2:]) == 0 and (ran or "--list" in words)
    elif "reports/build.py" in words:
        build.parser().parse_args(words[2:])
    elif words[1] == "data_scripts/toy_city.py":
        city_parser(plan).parse_args(words[2:])
    else:
        SCRIPTS[words[1]].parser().parse_args(words[2:])


def test_own_photographs_become_a_dataset_and_one_more_is_located(tmp_path, monkeypatch, capsys):
    """The commands of that section one after the other, in a small city."""
    small_city()
    (tmp_path / "vg_core" / "models").mkdir(parents=True)
    save_model(build_model(TINY), tmp_path / "vg_core" / "models" / "streets.safetensors")
    monkeypatch.chdir(tmp_path)
    section = TEXT[TEXT.index("## Your own photographs") :].partition("```sh\n")[2].partition("```")[0]
    make, bring, look, locate = map(partial(shlex.split, comments=True), section.replace("\\\n", " ").splitlines())
    for words in (make, bring, look):
        monkeypatch.setattr(sys, "argv", words[1:])
        assert SCRIPTS[words[1]].main() == 0
    assert "\n0 errors, " in capsys.readouterr().out and Path("my_photos.html").exists()
    photo = next(Path("data/my_photos/images/test/queries").iterdir())
    assert cli.main([str(photo) if word == "PHOTO" else word for word in locate[3:]]) == 0
    assert re.search(r"^1\. .* [\d.]+ m ", capsys.readouterr().out, flags=re.MULTILINE)


def test_a_photograph_is_located(tmp_path, write_photo, monkeypatch, capsys):
    """In a folder laid out like the README says it is after ``make report``."""
    words = shlex.split(next(line for line in COMMANDS if " locate " in line))
    split = make_street(tmp_path / "data" / "toycity") / "images" / "test"
    asked = re.search(r"@(q\d+)@", words[4])[1]
    write_photo(split / "queries", 402_063, 5_000_004, seed=2002, pano_id=asked)  # 30 * 2 m along the street
    model = tmp_path / words[words.index("--model") + 1]
    model.parent.mkdir(parents=True)
    save_model(build_model(TINY), model)
    monkeypatch.chdir(tmp_path)
    (photo,) = Path().glob(words[4])  # as a shell does it
    assert cli.main(["locate", str(photo), *words[5:]]) == 0
    assert re.search(r"^1\. .*\(40206[01]\.00 E 5000000\.00 N\)", capsys.readouterr().out, flags=re.MULTILINE)
    assert "<html" in Path(words[-1]).read_text()


def test_the_network_that_locates_is_there():
    assert (ROOT / re.search(r"--model (vg_core/\S+)", TEXT)[1]).exists()


def test_the_example_in_python(street, write_photo, capsys):
    """On a street instead of the city, with the smallest training."""
    for place in range(4):  # recall@20 needs as many
        write_photo(street / "images" / "test" / "database", 402_400 + 30 * place, 5_000_000, seed=3000 + place)
    start = 'vg.Config.of("smoke", epochs_num=1)'
    code = next(text for kind, text in BLOCKS if kind == "python" and start in text)
    names = {"short": TINY.replace(epochs_num=1, queries_per_epoch=8)}
    exec(code.replace(start, "short"), names)
    first = 100 * (names["run"].ranks["rank"] == 1).mean()
    assert f"{{1: {first}, 5: " in capsys.readouterr().out


def test_the_example_of_a_loss():
    code = next(text for kind, text in BLOCKS if kind == "python" and "@Loss" in text)
    names = dict(vars(tuples))
    exec(code, names)
    assert isinstance(names["squared_hinge"], tuples.Loss)
    query, positive, negatives = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([[[0.0, 5.0]]])
    assert names["squared_hinge"](query, positive, negatives).item() == pytest.approx(tuples.MARGIN**2, rel=1e-4)


# --- tables and pictures ------------------------------------------------------------------------------------------
def test_its_tables_are_up_to_date():
    made = {
        "options": readme.options_table(readme.options_source()),
        "notebooks": readme.notebooks_table(readme.minutes()),
        "speed": readme.speed_lines((ROOT / "benchmarks" / "README.md").read_text()),
    }
    for name, table in made.items():
        assert readme.filled(TEXT, name, table) == TEXT, f"the table of {name} is out of date: make readme"


def test_every_option_is_in_the_table():
    for loss in ("triplet", "geo_classification", "cosface"):
        for name in Config.of("full", loss=loss).options():
            assert f"| `{name}` | " in TEXT


def test_its_links_and_pictures_are_there():
    headings = {re.sub(r"[^\w ]", "", line).replace(" ", "-") for line in re.findall(r"^## (.+)", TEXT.lower(), re.M)}
    links = re.findall(r'\]\(([^)]+)\)|src="([^"]+)"', TEXT)
    for link in filter(lambda link: not link.startswith("https:"), map("".join, links)):
        file, _, heading = link.partition("#")
        assert (ROOT / file).exists(), link
        assert not heading or heading in headings, link
    for picture in (paths.REPORTS / "pictures").iterdir():
        assert picture.stat().st_size < PICTURE_BYTES and f"reports/pictures/{picture.name}" in TEXT
        Image.open(picture).load()


# --- the command that makes them ----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Made-up results, drawn once."""
    folder = tmp_path_factory.mktemp("shelf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VG_CACHE", str(folder))
        export_dataset(figures={"map": drawing("map", (3.0, 2.0))})
        export_baseline(figures={"curves": drawing("curves", (3.0, 2.0)), "gallery": pictures(1, 2)})
    return folder / "smoke" / "assets"


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A copy of what the command reads and writes, so that no test changes the real README."""
    for name in (
        "README.md",
        "Makefile",
        "vg_core/config/__init__.py",
        "vg_core/config/tasks.py",
        "benchmarks/README.md",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "REPORTS", tmp_path / "reports")
    monkeypatch.setattr(readme, "MINUTES", tmp_path / "reports" / "minutes.json")
    return tmp_path


def test_results_become_pictures_and_tables(house, shelf):
    shutil.copytree(shelf, paths.assets_folder("smoke"))
    executed = paths.executed_folder("smoke")
    executed.mkdir(parents=True)
    (executed / "minutes.json").write_text('{"10_baseline": 90.0}')
    assert readme.main() == 0
    text = (house / "README.md").read_text()
    first = pd.read_csv(shelf / "10_baseline" / "recall.csv").iloc[0]
    assert f"| {first.variant} | {first.recall:.1f} [{first.low:.1f}, {first.high:.1f}] |" in text
    assert re.search(r"^\| `10_baseline` \| .* \| `report` \| 1\.5 \|$", text, flags=re.MULTILINE)
    assert json.loads((house / "reports" / "minutes.json").read_text()) == {"10_baseline": 90.0}
    assert {file.name for file in (house / "reports" / "pictures").iterdir()} == {*readme.PICTURES}
    assert max(Image.open(house / "reports" / "pictures" / "gallery.jpg").size) == readme.WIDTH


def test_photographs_of_others_are_not_published(house, shelf, capsys):
    shutil.copytree(shelf, paths.assets_folder("smoke"))
    origin = paths.assets_folder("smoke") / "10_baseline" / "origin.json"
    origin.write_text(origin.read_text().replace('"toycity"', '"pitts30k"'))
    vouch(origin.parent)
    assert readme.main() == 1
    assert "shows pitts30k: only pictures of toycity may be published" in capsys.readouterr().err
    assert (house / "README.md").read_text() == TEXT and not (house / "reports" / "pictures").exists()


def test_without_results_the_options_are_written_anew(house, capsys):
    config = house / "vg_core" / "config" / "__init__.py"
    config.write_text(config.read_text().replace("# learning rate\n", "# how far a step | goes\n"))
    assert readme.main() == 0
    assert "holds no results" in capsys.readouterr().out
    text = (house / "README.md").read_text()
    assert r"| `lr` | `1e-5` | how far a step \| goes |" in text
    kept = re.search(r"<!-- recalls:.*: recalls -->", TEXT, flags=re.DOTALL)[0]
    assert "[" in kept and kept in text


def test_lost_marks_are_a_sentence(house, capsys):
    (house / "README.md").write_text(TEXT.replace("to here: options", ""))
    assert readme.main() == 1
    assert "it must hold the marks of options once" in capsys.readouterr().err
