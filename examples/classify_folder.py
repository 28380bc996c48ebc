"""Learn classes from a folder of images, and say what other images show.

    python examples/classify_folder.py results/quick/train/n_plus_1 known/ new/
    python examples/classify_folder.py results/record/text known/ new/ --variant n_plus_1

`known/` has a sub-folder for each class, with an image or a few in it; `new/` has images to classify. All of `new/`
is classified in one call, as in a meta-test. docs/classifier.md says what that means.
"""

import argparse
from pathlib import Path

from megan import FewShotClassifier

parser = argparse.ArgumentParser(description="Classify images by a few examples of each class.")
parser.add_argument("checkpoint", type=Path, help="a trained variant, as results/quick/train/n_plus_1")
parser.add_argument("known", type=Path, help="a folder of classes, each a folder of images")
parser.add_argument("new", type=Path, help="a folder of images to classify")
parser.add_argument("--variant", help="which one, where the checkpoint is a record with weights of several")
chosen = parser.parse_args()

examples = sorted(path for path in chosen.known.glob("*/*") if path.is_file())
classifier = FewShotClassifier.from_checkpoint(chosen.checkpoint, variant=chosen.variant)
classifier.fit(examples, [path.parent.name for path in examples])

images = sorted(path for path in chosen.new.iterdir() if path.is_file())
for path, probabilities in zip(images, classifier.predict_proba(images), strict=True):
    print(f"{path.name}: {classifier.classes_[probabilities.argmax()]} ({probabilities.max():.0%})")
