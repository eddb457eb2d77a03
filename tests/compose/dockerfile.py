"""As much of a Dockerfile as the tests look at: stages, and what the last one sets."""

import json
import re
import shlex


class Stage:
    """One `FROM` and what follows it."""

    def __init__(self, base):
        self.base = base
        self.user = base.rpartition(":")[2] if base.endswith("nonroot") else ""
        self.environment = {}
        self.volumes = []
        self.run = []
        self.entrypoint = []
        self.command = []
        self.health = None


def argv(text):
    """The words of an instruction in JSON form, or in the shell's."""
    return json.loads(text) if text.startswith("[") else shlex.split(text)


class Dockerfile:
    """The stages of a file."""

    def __init__(self, text):
        self.stages = []
        lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
        for line in "\n".join(lines).replace("\\\n", " ").splitlines():
            if line.strip():
                self.take(*line.strip().split(None, 1))

    @property
    def last(self):
        return self.stages[-1]

    def take(self, instruction, rest):
        if instruction == "FROM":
            self.stages.append(Stage(rest.split()[0]))
            return
        stage = self.last
        match instruction:
            case "ENV":
                stage.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
            case "VOLUME":
                stage.volumes += argv(rest)
            case "RUN":
                stage.run.append(rest)
            case "USER":
                stage.user = rest
            case "ENTRYPOINT":
                stage.entrypoint = argv(rest)
            case "CMD":
                stage.command = argv(rest)
            case "HEALTHCHECK":
                stage.health = argv(re.search(r"\bCMD\s+(.*)", rest)[1])
            case "COPY" | "EXPOSE" | "WORKDIR":
                pass
            case _:
                raise ValueError(f"an instruction that this reader does not know: {instruction}")
