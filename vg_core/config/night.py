"""The night study of D'Amico, De Cristofaro and Arpino (2023), which trained CosPlace for the night, row by row."""

from vg_core.config import Config

JITTER = "colour_jitter_any_order"
REVERSAL = {"domain": "gradient_reversal"}
BOTH = {"augmentation": "fda_synthetic_night"}
# What each row of their table changes. Left out: pseudo-night is made once there and stored as JPEG, styles and targets
# are queries of the test (transductive), and domains are told apart with legacy_normalisation
NIGHT_STUDY: dict[str, dict] = {
    "CosFace": {},
    "ArcFace (s = 64, m = 0.5)": {"loss": "arcface", "logit_scale": 64.0, "logit_margin": 0.5},
    "SphereFace (s = 30, m = 1.5)": {"loss": "sphereface", "logit_scale": 30.0, "logit_margin": 1.5},
    "FDA": {"augmentation": "fda"},
    "PP": {"augmentation": "synthetic_night_mild"},  # of two PPs the first; the stronger came later
    "FDA+PP": BOTH,
    "DA": REVERSAL,
    "FDA+PP+DA (alpha = 0.01)": BOTH | REVERSAL | {"domain_weight": 0.01},
    "FDA+PP+DA (alpha = 0.1)": BOTH | REVERSAL,
    "FDA+PP+DA (alpha = 1)": BOTH | REVERSAL | {"domain_weight": 1.0},
    "FDA+PP+DA (beta = 0.09)": BOTH | REVERSAL | {"fda_beta": 0.09},
    "AE": {"domain": "auto_encoder", "domain_margin": 0.5, "domain_weight": 0.01},
    "EMMS l = 1": {"loss": "emms", "emms_weight": 1.0},
    "EMMS l = 1.5": {"loss": "emms", "emms_weight": 1.5},
    "EMMS l = 2": {"loss": "emms", "emms_weight": 2.0},
    "FDA+PP+colorjitter+EMMS": {"augmentation": f"fda_synthetic_night+{JITTER}", "loss": "emms"},
    "FDA on test": {"test_method": "hard_resize+fda"},  # of CosFace, which is not trained again
    "Places 365 pretrain": {"weights": "places365"},
}
# the rows of NIGHT_STUDY that each soup is made of; which five the last one has there is not known
SOUPS: dict[str, tuple[str, ...]] = {
    "Soup Face": ("CosFace", "ArcFace (s = 64, m = 0.5)", "SphereFace (s = 30, m = 1.5)"),
    "Face soup + EMMS": ("CosFace", "ArcFace (s = 64, m = 0.5)", "SphereFace (s = 30, m = 1.5)", "EMMS l = 1"),
    "Different Alphas": tuple(f"FDA+PP+DA (alpha = {alpha})" for alpha in ("0.01", "0.1", "1")),
    "FDA PP DA soup": ("FDA", "PP", "FDA+PP", "FDA+PP+DA (alpha = 0.1)", "FDA+PP+DA (alpha = 0.01)"),
}


def night_study(base: Config) -> dict[str, Config]:
    """The configuration of each row of the table but for its soups, changed from one such as the preset night_study.

    Augmentations of the base follow those of a row. A row's own beta grows as the base's does, since the published ones
    are for 512 rows and change fewer frequencies of smaller images; it is 1 at most.
    """
    found = {}
    for name, row in NIGHT_STUDY.items():
        options = dict(row)
        if "augmentation" in row and base.augmentation != "none":
            options["augmentation"] = "+".join(dict.fromkeys(f"{row['augmentation']}+{base.augmentation}".split("+")))
        if "fda_beta" in row:
            options["fda_beta"] = min(1.0, round(row["fda_beta"] / Config.fda_beta * base.fda_beta, 6))
        found[name] = base.replace(**options)
    return found
