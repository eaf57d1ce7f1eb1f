"""What the report says follows from its numbers: results are made up that point one way, the other, or neither."""

import re
import sys

import pytest

from tests.made_up import BETTER, OPEN, WORSE, export_all
from tests.pdf import text
from vg_core.system import paths

sys.path.insert(0, str(paths.REPORTS))
import build as paper

SAID = {  # in one report and in no other
    BETTER: """Training helps GeM: R@1 rises from|Training helps NetVLAD: R@1 rises from|a gain of +8.0
GeM untrained is better than that|their share fell from 90 % to 60 %|NetVLAD pays where memory allows
Of 3 predictions 3 were confirmed, none refuted|For GeM the prediction is confirmed|all lie above zero and none below
comparisons alone have taught that much|loss above zero fell from 90 % to 60 %|that speaks for NetVLAD
GeM finds more queries after training|training does what it should|and it finds more queries for that
gives the same answers|each has a database image|start from weights learned on ImageNet""",
    OPEN: """It stays open whether training helps GeM|It stays open whether training helps NetVLAD
not to be told from that|their share stayed at 75 %|NetVLAD has not been shown to pay
Of 3 predictions none was confirmed, none refuted and 3 remain|For GeM the prediction is undecided
none lie above zero and none below|what comparisons alone teach stays open|loss above zero stayed at 75 %
Whether GeM finds more or fewer queries|so bytes and time decide|no difference in recall was shown
networks start from random weights""",
    WORSE: """Training harms GeM: R@1 falls from|Training harms NetVLAD: R@1 falls from|a change of −8.0
GeM untrained is worse than that|their share rose from 60 % to 90 %|Here GeM is ahead
Of 3 predictions none was confirmed, 3 refuted|For GeM the prediction is refuted|none lie above zero and all below
here comparisons alone did harm|loss above zero rose from 60 % to 90 %|Here GeM finds more
GeM finds fewer queries after training|and finds fewer queries|start from weights learned on another rendered city
Of 2 bars 0 are met""",
}
CLAIM = re.compile(
    r"\b(?:helps?|harms?|beats?|improves?|outperforms?|rises?|rose|falls?|fell|pays|wins|ahead|confirmed|refuted"
    r"|undecided|faster|slower|better than|worse than|as much longer|does what it should|guards against|carries over)\b"
)
ARITHMETIC = "recall never falls as the threshold grows"  # whatever was measured


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Text of the report of each kind of results."""
    found = {}
    for sign in SAID:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("VG_CACHE", str(tmp_path_factory.mktemp("made_up")))
            export_all(sign)
            found[sign] = text(paper.compile_paper(paper.find_results(paths.assets_folder("smoke"), "smoke")))
    return found


@pytest.mark.parametrize("sign", SAID)
def test_each_result_is_told_as_it_is(texts, sign):
    for other, said in SAID.items():
        for words in re.split(r"[|\n]", said):
            assert (words in texts[sign]) == (other == sign), words


def test_a_change_goes_where_its_numbers_go(texts):
    found = re.findall(r"(rises|rose|falls|fell) from ([\d.]+) [^a-z]*to ([\d.]+)", " ".join(texts.values()))
    assert len(found) == 8
    for verb, first, last in found:
        assert (float(last) > float(first)) == (verb in ("rises", "rose")), (verb, first, last)


def test_no_claim_is_made_whatever_the_numbers_are(texts):
    """A sentence that says the same of results and of their reverse is a prediction, a definition or a mistake."""
    told = []
    for sign in (BETTER, WORSE):
        results = texts[sign][texts[sign].index("4. Experiments") :]
        results = re.sub(r"[−+]?\d[\d.]*", "#", re.sub(r"Prediction: [^.]*\.", "", results))
        told.append(re.split(r"(?<=[.:?]) ", results))
    fixed = [sentence for sentence in told[0] if sentence in told[1] and CLAIM.search(sentence)]
    assert [sentence for sentence in fixed if not sentence.endswith("?") and ARITHMETIC not in sentence] == []
