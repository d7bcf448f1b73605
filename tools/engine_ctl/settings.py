"""Every variable that the engine and its command line read, for the configuration file and the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "path", "whole", "number", "switch", "list"]


@dataclass(frozen=True, slots=True)
class Setting:
    """A variable, and the key of the configuration file that stands for it."""

    name: str
    """The key; the variable is ``ENGINE_`` and this in capitals."""
    kind: Kind
    meaning: str
    default: str

    @property
    def variable(self) -> str:
        """The variable's name."""
        return f"ENGINE_{self.name.upper()}"


SETTINGS: tuple[Setting, ...] = (
    Setting("socket", "path", "the engine's socket", "$XDG_RUNTIME_DIR/engine/engine.sock"),
    Setting("models_dir", "path", "folder of the models that go by name", "models in the user's data folder"),
    Setting("cache_dir", "path", "folder of what can be made again", "the user's cache folder"),
    Setting("data_dir", "path", "folder of records, calibrations, chat history", "the user's data folder"),
    Setting("memory_mb", "whole", "most MB for weights, KV caches and buffers", "nine tenths of the machine's"),
    Setting("prefix_cache_mb", "whole", "most MB of KV cache kept for later prompts", "an eighth of memory_mb"),
    Setting("weights_cache_mb", "whole", "most MB of derived weights on disk", "20000"),
    Setting("keep_alive_s", "whole", "seconds for which unused weights stay in memory", "until others need the room"),
    Setting("cpu_features", "list", "processor features that kernels may use; none: none", "all"),
    Setting("ollama_registry", "text", "address of Ollama's registry, or of a mirror", "registry.ollama.ai"),
    Setting("energy_source", "text", "energy source of plans that leave it open", "the best that measures"),
    Setting("tdp_watts", "number", "watts of the CPUs at full load, for the source model", "none"),
    Setting("energy_psys", "switch", "count the platform's joules in place of the packages'", "0"),
    Setting("energy_meter_file", "path", "file that holds the joules of a meter", "none"),
    Setting("energy_meter_command", "text", "command that prints them", "none"),
    Setting("energy_meter_update_ms", "whole", "longest time between two moves of that meter", "1000"),
    Setting("powercap_root", "path", "tree of RAPL zones", "/sys/class/powercap"),
    Setting("power_pmu_root", "path", "tree of the power PMU", "/sys/bus/event_source/devices/power"),
    Setting("hwmon_root", "path", "tree of hardware monitors", "/sys/class/hwmon"),
    Setting("cpus_root", "path", "tree of the machine's CPUs", "/sys/devices/system/cpu"),
)
BY_NAME: Mapping[str, Setting] = {setting.name: setting for setting in SETTINGS}
