"""What users of the field's other programs (DVGL, CosPlace, VPR-methods-evaluation) type, in the words of this one."""

from itertools import pairwise

NAMES = {
    "--dataset_name": "--dataset",
    "--aggregation": "--pooling",
    "--netvlad_clusters": "--clusters",
    "--descriptors_dimension": "--fc_output_dim",
    "--criterion": "--loss",
    "--optim": "--optimizer",
    "--resize": "--image_size",
    "--pretrain": "--weights",
    "--val_positive_dist_threshold": "--val_positives_dist_threshold",
    "--positive_dist_threshold": "--val_positives_dist_threshold",
}
VALUES = {"--loss sare_ind": "sare_gaussian_ind", "--loss sare_joint": "sare_gaussian_joint"}
VALUES |= {"--pooling spoc": "average", "--pooling mac": "max"}
RESNETS = [(f"resnet{depth}", stage) for depth in (18, 50, 101) for stage in (4, 5)]
VALUES |= {f"--backbone {name}conv{stage}": f"{name} --layer layer{stage - 1}" for name, stage in RESNETS}
NO_EQUIVALENT = {
    "--pca_dim --pca_dataset_folder": "DVGL's PCA neither whitens nor normalises; --whitened_dim N does both",
    "--device": "a GPU is used if there is one; CUDA_VISIBLE_DEVICES= before a command hides it",
    "--num_workers": "one thread for each core that the process may use reads photographs; taskset gives it fewer",
    "--resume --resume_train --resume_model": "the same train command goes on by itself; test takes --model FILE",
    "--method --off_the_shelf": "no network of others is fetched; --weights FILE, untrained with --epochs_num 0",
    "--datasets_folder": "set VG_DATA to it, or give --dataset the path of a dataset's own folder",
    "--train_set_folder --val_set_folder --test_set_folder --database_folder --queries_folder": "--dataset FOLDER has "
    "them all, as images/{train,val,test}/{database,queries}",
    "--save_dir --log_dir": "train says where its model lies; results are in reports/runs or, of smoke, below VG_CACHE",
    "--recall_values": "1, 5, 10 and 20 are always told; test --ranks FILE.csv has each query's rank for others",
    "--num_preds_to_save --save_only_wrong_preds": "test --ranks FILE.csv names what each query found first",
    "--save_descriptors --no_labels": "describe --output FILE.npz writes descriptors; locate PHOTO needs no label",
    "--efficient_ram_testing": "descriptors that memory has no room for go by disk; VG_RAM says how much room there is",
    "--majority_weight": "--test_method maj_voting weighs votes by 0.01, DVGL's default",
    "--train_all_layers": "--freeze none trains everything",
    "--brightness --contrast --saturation --hue --horizontal_flip --random_resized_crop --rand_perspective "
    "--random_rotation": "--augmentation takes brightness, …, rotation, joined by +; strengths are fixed",
    "--groups_num --min_images_per_class": "CosPlace's groups are not built here; see --loss geo_classification",
    "--lr_crn_layer --lr_crn_net --trunc_te --freeze_te": "neither CRN nor transformers are built here",
    "--l2 none": "not built here; choose before_pool, after_pool or both",
    "--pooling rmac --pooling crn --pooling rrm --pooling cls --pooling seqpool --pooling none": "not built here; "
    "choose gem, average (SPoC), max (MAC) or netvlad",
}
SENTENCES = {
    f"--{name.strip()}": sentence for names, sentence in NO_EQUIVALENT.items() for name in names.split("--")[1:]
}


class NoEquivalent(ValueError):
    """There is no such option, or value, here; the message says what takes its place."""


def translated(arguments: list[str]) -> list[str]:
    """A command line in our names, where "-" in the name of an option is as good as "_"; raises NoEquivalent."""
    words = [word for argument in arguments for word in _words(argument)]
    pairs = [f"{option} {value}" for option, value in pairwise(["", *words])]
    for word in (*words, *pairs):
        if word in SENTENCES:
            raise NoEquivalent(f"{word}: {SENTENCES[word]}")
    choices = [VALUES[pair].split() if pair in VALUES else [word] for pair, word in zip(pairs, words, strict=True)]
    return [word for some in choices for word in some]


def _words(argument: str) -> list[str]:
    """Our name of an option and its value, apart unless the value looks like an option; any other word as it is."""
    if not argument.startswith("--"):
        return [argument]
    name, equals, value = argument.partition("=")
    name = "--" + name[2:].replace("-", "_")
    name = NAMES.get(name, name)
    return [name + equals + value] if value.startswith("-") else [name, value][: 1 + len(equals)]
