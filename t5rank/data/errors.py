"""The error of malformed data; its advice names the option of whoever reads the file."""

from collections.abc import Mapping

GIN_OPTIONS = {"labelled": "--gin.LABELLED=False", "strict": "--gin.STRICT=False"}  # of gin/tasks


class DataError(ValueError):
    """A file holds something that the readers refuse, and one of their options would accept it.

    In Python the advice names the reader's argument. A command has the same option under another
    name, or does not have it: `message_for` gives the sentence in the command's words.

    Args:
      fact: what is wrong, where, and what was expected.
      option: the readers' argument that accepts it: "strict" or "labelled". False accepts it.
      effect: what the readers then do, as the words after "to".
      remedy: what else the user can do.
      in_python: whether a caller in Python can pass the option.

    >>> error = DataError("File 'x' has a blank line.", "strict", "drop such lines")
    >>> print(error)
    File 'x' has a blank line. Repair the file, or pass strict=False to drop such lines.
    >>> print(error.message_for({"strict": "--lenient"}))
    File 'x' has a blank line. Repair the file, or give --lenient to drop such lines.
    >>> print(error.message_for({}))
    File 'x' has a blank line. Repair the file.
    """

    def __init__(
        self,
        fact: str,
        option: str,
        effect: str,
        remedy: str = "Repair the file",
        in_python: bool = True,
    ):
        super().__init__(fact, option, effect, remedy, in_python)
        self.fact = fact
        self.option = option
        self.effect = effect
        self.remedy = remedy
        self.in_python = in_python

    def __str__(self) -> str:
        return self._with_advice(f"pass {self.option}=False" if self.in_python else None)

    def message_for(self, options: Mapping[str, str]) -> str:
        """The message as a command gives it.

        Args:
          options: the command's option for each of the readers' arguments, such as
            `{"strict": "--gin.STRICT=False"}`.
        """
        name = options.get(self.option)
        return self._with_advice(None if name is None else f"give {name}")

    def placed(self, place: str) -> "DataError":
        """The same error, with one more sentence that says where."""
        return DataError(
            f"{self.fact} {place}", self.option, self.effect, self.remedy, self.in_python
        )

    def _with_advice(self, advice: str | None) -> str:
        rest = "" if advice is None else f", or {advice} to {self.effect}"
        return f"{self.fact} {self.remedy}{rest}."
