"""The served models: they are loaded in the background, and again when a folder has changed."""

import contextlib
import gc
import logging
import threading
import time
from collections.abc import Callable, Mapping

from t5rank.process.collector import resting_collector
from t5rank.serve.dialects.embedding import side_of
from t5rank.serve.errors import Refusal
from t5rank.serve.loading import Progress, Stopped
from t5rank.serve.served_model import Observe, ServedModel
from t5rank.serve.settings import ServerSettings
from t5rank.serve.workers import Workers

_SETTLES = 1.0  # seconds in which no file changes, once all are there
_LOG = logging.getLogger(__name__)


class Models:
    """All models of a server.

    Args:
      settings: have the models' folders, and the devices.
      workers: tokenize.
      observe: is told of every batch, with the model's name.
      failed: is called when a model cannot be loaded at the start.
    """

    def __init__(
        self,
        settings: ServerSettings,
        workers: Workers,
        observe: Observe,
        failed: Callable[[Exception], None],
    ):
        self._settings = settings
        self._failed = failed
        self._wake = threading.Event()
        self._reload = False
        self._closed = False
        self.by_name: Mapping[str, ServedModel] = {
            name: ServedModel(name, folder, settings, workers, observe)
            for name, folder in settings.models.items()
        }
        self._thread = threading.Thread(target=self._run, name="loading", daemon=True)

    def start(self) -> None:
        """Begins to load the models."""
        self._thread.start()

    def close(self) -> None:
        """Ends the threads, once the accepted requests are scored."""
        self._closed = True
        self._wake.set()
        self._thread.join()
        for model in self.by_name.values():
            if model.engine is not None:
                model.engine.close()

    def reload(self) -> None:
        """Loads all models again, in the background."""
        self._reload = True
        self._wake.set()

    def unready(self) -> list[str]:
        """Models that cannot score yet."""
        return [model.name for model in self.by_name.values() if model.engine is None]

    def choose(self, name: str | None) -> ServedModel:
        """The model that a request means; `NAME/query` and `NAME/document` mean NAME.

        Raises:
          Refusal: several models are served, and none has this name.
        """
        if name is None or len(self.by_name) == 1:
            return next(iter(self.by_name.values()))
        if name not in self.by_name and side_of(name):
            name = name.rpartition("/")[0]
        if name not in self.by_name:
            message = f"Model '{name[:80]}' is not served; expected one of {[*self.by_name]}."
            raise Refusal(404, "model_not_found", message)
        return self.by_name[name]

    def _run(self) -> None:
        with contextlib.suppress(Stopped):
            try:
                with resting_collector():
                    self._load_all()
                    gc.collect()
            except Exception as error:
                self._failed(error)
                return
            while not self._closed:
                self._wake.wait(self._settings.watch or None)
                self._wake.clear()
                asked, self._reload = self._reload, False
                for model in self.by_name.values():
                    if not self._closed and (asked or self._has_changed(model)):
                        with self._progress(model) as progress:
                            model.reload(progress)

    def _load_all(self) -> None:
        for model in self.by_name.values():
            _LOG.info("Model '%s': loading and compiling %s.", model.name, model.folder)
            start = time.monotonic()
            with self._progress(model) as progress:
                model.load(progress)
            _LOG.info("Model '%s' is ready: %.1f s.", model.name, time.monotonic() - start)

    def _has_changed(self, model: ServedModel) -> bool:
        """Whether a folder has a new model, and its files have stopped changing."""
        seen = model.change()
        if seen is None:
            return False
        self._wake.wait(min(_SETTLES, self._settings.watch))
        return model.change() == seen

    def _progress(self, model: ServedModel) -> Progress:
        title = f"compiling {model.name}"
        return Progress(lambda: self._closed, desc=title, unit=" shapes", disable=None)
