"""Model folders: everything needed to score, beside the checkpoints.

MODEL_DIR/config.json           architecture, head, prompt, input length
MODEL_DIR/vocabulary.model      the SentencePiece vocabulary
MODEL_DIR/settings.json         what it is trained with, see t5rank.train.settings
MODEL_DIR/tokenizer_config.json the tokens that were added to it, where there are any
MODEL_DIR/run.json              how it was trained, see t5rank.train.run_record
MODEL_DIR/README.md             the model card, see t5rank.model_folder.model_card
MODEL_DIR/checkpoint_N/         parameters (and the optimizer's state while training), or
MODEL_DIR/model.onnx            the scoring graph that `t5rank export` wrote

configuration      `config.json`, out and in
opening            opens a folder
writing            writes what lies beside the checkpoints
model_card         README.md
huggingface_files  what lies beside the weights in a Hugging Face folder
convert            into and out of model folders
published          names that a Hugging Face folder was published under
"""

from t5rank.checkpoints.paths import chosen_step, load_best
from t5rank.model_folder.configuration import CONFIG, from_written_form, written_form
from t5rank.model_folder.opening import (
    ONNX,
    ModelFolder,
    best_step,
    is_model_folder,
    load_config,
    open_folder,
    parameter_shapes,
    weights_path,
)
from t5rank.model_folder.writing import CARD, save_best, save_card, save_config

__all__ = [
    "CARD",
    "CONFIG",
    "ONNX",
    "ModelFolder",
    "best_step",
    "chosen_step",
    "from_written_form",
    "is_model_folder",
    "load_best",
    "load_config",
    "open_folder",
    "parameter_shapes",
    "save_best",
    "save_card",
    "save_config",
    "weights_path",
    "written_form",
]
