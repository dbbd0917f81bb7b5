"""Bottleneck adapters (Houlsby et al. 2019, arXiv:1902.00751) as a PEFT method, which PEFT lacks.

`y + up(gelu(down(y)))` after a linear module that gives `y`. The up-projection starts at zero, so that a new adapter
changes nothing. PEFT saves and loads it like its own; other programs need this module for it.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import PeftType, register_peft_method
from torch import Tensor, nn

BOTTLENECK = "BOTTLENECK"


@dataclass
class BottleneckConfig(PeftConfig):  # type: ignore[misc]  # PEFT is untyped
    """`adapter_config.json` of bottleneck adapters."""

    target_modules: list[str] | None = None
    """Full names of the linear modules that an adapter follows."""
    width: int = field(default=16)
    """Width of the bottleneck."""
    modules_to_save: list[str] | None = None
    """Modules that are trained in full: the head."""

    def __post_init__(self) -> None:
        """PEFT's hook for derived fields."""
        super().__post_init__()
        self.peft_type = PeftType(BOTTLENECK)


class BottleneckLayer(nn.Module, BaseTunerLayer):  # type: ignore[misc]  # as above
    """A linear module followed by adapters."""

    adapter_layer_names = ("bottleneck_down", "bottleneck_up")
    other_param_names = ()
    active_adapters: list[str]
    disable_adapters: bool
    get_base_layer: Any
    set_adapter: Any
    _move_adapter_to_device_of_base_layer: Any

    def __init__(self, base_layer: nn.Module, adapter_name: str, width: int) -> None:
        super().__init__()
        self.base_layer: Any = base_layer
        self.bottleneck_down, self.bottleneck_up = nn.ModuleDict(), nn.ModuleDict()
        self._disable_adapters, self.merged_adapters = False, list[str]()
        self.add(adapter_name, width)

    def add(self, adapter_name: str, width: int) -> None:
        """Add an adapter."""
        base: Any = self.get_base_layer()
        features = base.nf if hasattr(base, "nf") else base.out_features  # GPT-2's Conv1D, or nn.Linear
        down, up = nn.Linear(features, width), nn.Linear(width, features)
        nn.init.normal_(down.weight, std=features**-0.5)
        for start in (down.bias, up.weight, up.bias):
            nn.init.zeros_(start)
        self.bottleneck_down[adapter_name], self.bottleneck_up[adapter_name] = down, up
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters or [adapter_name])

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Adapted output of the linear module: `x` [..., in] -> [..., out]."""
        y: Tensor = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters:
            return y
        for name in self.active_adapters:
            if name in self.bottleneck_down:
                y = y + self.bottleneck_up[name](nn.functional.gelu(self.bottleneck_down[name](y)))
        return y


class BottleneckModel(BaseTuner):  # type: ignore[misc]  # as above
    """A model with bottleneck adapters."""

    prefix = "bottleneck_"
    tuner_layer_cls = BottleneckLayer
    target_module_mapping: ClassVar[dict[str, list[str]]] = {}

    def _create_and_replace(  # noqa: PLR0917 -- PEFT calls it so
        self, config: Any, adapter_name: str, target: Any, target_name: str, parent: nn.Module, current_key: str
    ) -> None:
        del current_key
        if isinstance(target, BottleneckLayer):
            target.add(adapter_name, config.width)
            return
        layer = BottleneckLayer(target, adapter_name, config.width)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(requires_grad=False)
        setattr(parent, target_name, layer)


def register_bottleneck() -> None:
    """Register the method with PEFT, once per process."""
    if BOTTLENECK in PeftType._value2member_map_:
        return
    member = str.__new__(PeftType, BOTTLENECK)  # PEFT takes only methods in its closed list of names
    member._name_ = member._value_ = BOTTLENECK
    PeftType._member_names_.append(BOTTLENECK)
    PeftType._member_map_[BOTTLENECK] = PeftType._value2member_map_[BOTTLENECK] = member
    type.__setattr__(PeftType, BOTTLENECK, member)
    register_peft_method(name=BOTTLENECK.lower(), config_cls=BottleneckConfig, model_cls=BottleneckModel)
