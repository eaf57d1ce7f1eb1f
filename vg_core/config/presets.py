"""Settings to start from: profiles, the two scales of everything, and presets, the settings of papers."""

PROFILES: dict[str, dict] = {
    # toy city, two CPU cores, minutes: small images, few tuples, weights that were pretrained on another rendered city
    "smoke": {
        **{"profile": "smoke", "dataset": "toycity", "image_size": (60, 80), "weights": "streets", "clusters": 16},
        "fda_beta": 0.08,  # does to 60 rows what 0.01 does to 512, and that nothing
        **{"lr": 3e-3, "lr_halving_epochs": 1, "negs_num_per_query": 2, "neg_samples_num": 20},
        **{"train_batch_size": 8, "infer_batch_size": 64, "queries_per_epoch": 120, "cache_refresh_rate": 120},
        **{"epochs_num": 4, "patience": 4, "val_queries": 100},
    },
    # the brief: Pitts30k, ImageNet weights, one GPU, hours
    "full": {"profile": "full"},
}

OTHER_CITY = {"smoke": "toycity_drive", "full": "st_lucia"}  # of a profile: where its networks are tested abroad

COSPLACE = {
    **{"image_size": (512, 512), "augmentation": "colour_jitter_any_order+random_resized_crop"},
    **{"backbone": "resnet18", "layer": "layer4", "freeze": "layer2"},
    **{"pooling": "gem", "l2": "both", "fc_output_dim": 512},
    **{"loss": "cosface", "images_per_row": 1},
    **{"M": 10.0, "alpha": 30, "N": 5, "L": 2, "min_images_per_class": 10, "groups_num": 8},
    **{"optimizer": "adam", "lr": 1e-5, "lr_halving_epochs": 0, "classifiers_lr": 0.01, "weight_decay": 0.0},
    **{"train_batch_size": 32, "queries_per_epoch": 320_000},  # 10,000 iterations
    "cache_refresh_rate": 80_000,  # of SF-XL, what each round saves takes 1.7 GB
    **{"epochs_num": 50, "patience": 50, "selected_by": "recall_1", "val_queries": 0},  # it never stops early
}
REHEARSAL = {
    **{"augmentation": "none", "layer": "layer3", "fc_output_dim": 128, "lr": 1e-3},
    **{"N": 2, "min_images_per_class": 4},
}
SAFA = {
    **{"loss": "soft_margin", "image_size": (112, 616), "weights": "imagenet"},
    **{"optimizer": "adam", "lr": 1e-5, "lr_halving_epochs": 0, "weight_decay": 0.0, "train_batch_size": 32},
    **{"queries_per_epoch": 35_520, "cache_refresh_rate": 11_840},  # of 35,532 pairs in whole batches
    **{"epochs_num": 100, "patience": 100, "selected_by": "recall_1", "val_queries": 0},  # it never stops early
}

PRESETS: dict[str, dict] = {
    "none": {},
    # Liu, Li, Dai, ICCV 2019: what the paper trains with on Pitts30k. Left out: its input is centred but not scaled,
    # its code mines half as often whenever the learning rate halves, and it takes each query once an epoch, where
    # rounds here draw theirs independently
    "sare_paper": {
        "backbone": "vgg16",
        "layer": "conv5_3",  # before its ReLU
        "freeze": "pool4",  # trained from conv5_1 on
        "pooling": "netvlad",
        "clusters": 64,  # 32,768 values
        "loss": "sare_gaussian_ind",
        "mining": "full",
        "negs_num_per_query": 10,
        "neg_samples_num": 1000,
        "train_positives_dist_threshold": 10.0,
        "train_positives_min_dist": 1.0,
        "val_positives_dist_threshold": 25.0,
        "optimizer": "sgd",
        "lr": 1e-3,
        "lr_halving_epochs": 5,
        "momentum": 0.9,
        "weight_decay": 1e-3,
        "train_batch_size": 4,
        "queries_per_epoch": 7000,  # as many as there are in whole mining rounds, of 7416
        "cache_refresh_rate": 1000,
        "epochs_num": 30,
        "patience": 30,  # it never stops early
        "val_queries": 1000,
    },
    # Berton, Masone, Caputo, CVPR 2022: CosPlace on SF-XL, whose photographs have these pixels. Left out: frozen layers
    # normalise by statistics of the batch there, by those of ImageNet here; it validates on photographs as they are
    "cosplace": COSPLACE,
    # what groups of a course in Turin trained: one group, few epochs
    "cosplace_fork": COSPLACE | {"groups_num": 1, "epochs_num": 3},
    # a rehearsal on toycity_dense, a minute of one core: few streets, so groups must lie closer; short epochs
    "cosplace_rehearsal": COSPLACE
    | REHEARSAL
    | {"image_size": (60, 80), "queries_per_epoch": 1920, "cache_refresh_rate": 1920, "epochs_num": 8, "patience": 8},
    # for the night study of one (night.py): a batch has 32 photographs and, with domain, 16 targets
    "night_study": COSPLACE
    | {"groups_num": 1, "epochs_num": 3, "images_per_row": 2, "train_batch_size": 16}
    | {"queries_per_epoch": 160_000, "cache_refresh_rate": 40_000},  # 10,000 iterations
    # a rehearsal of it, 480 iterations as cosplace_rehearsal, in one epoch, so that no choice on val adds noise
    "night_rehearsal": COSPLACE
    | REHEARSAL
    | {"groups_num": 1, "epochs_num": 1, "images_per_row": 2, "train_batch_size": 16}
    | {"image_size": (36, 48), "fda_beta": 0.12, "queries_per_epoch": 7680, "cache_refresh_rate": 1280},
    # Shi, Liu, Yu, Li, NeurIPS 2019. Other than there: weights and pixels are torchvision's, not Caffe's; the contrast
    # of polar images stays as it is, but for stretch=True. CVUSA's test is its val, on which the best epoch is chosen;
    # there it was, too
    "safa_cvusa": SAFA | {"dataset": "cvusa"},
    "safa_cvact": SAFA | {"dataset": "cvact", "near_metres": 25.0},
    # Liu, Li, CVPR 2019. Other than there: batch norms keep running statistics; quarters of a turn are all as likely
    # and exact, and middles are cut out of the image that is already resized
    "oricnn": SAFA
    | {"dataset": "cvusa", "network": "oricnn", "weights": "none", "polar": False}
    | {"image_size": (224, 1232), "aerial_size": (512, 512)}
    | {"train_batch_size": 12, "queries_per_epoch": 35_532, "cache_refresh_rate": 11_844},
    # a rehearsal on 1,000 generated pairs, a minute of one core
    "pairs_rehearsal": SAFA
    | {"dataset": "toycity_pairs", "small": True, "weights": "none", "image_size": (32, 176), "aerial_size": (72, 72)}
    | {"lr": 1e-3, "queries_per_epoch": 992, "cache_refresh_rate": 992, "epochs_num": 4, "patience": 4},
}
