"""Every requirement of the documents: what the tests of this folder must cover."""

from __future__ import annotations

from tests.requirements.requirement import Place, Requirement, requisitos, stack, weos, whole


def _named(code: str, says: dict[str, str], *places: Place) -> tuple[Requirement, ...]:
    """The clauses of one requirement that the documents give a name."""
    return tuple(Requirement(f"{code}_{clause}" if clause else code, text, places) for clause, text in says.items())


def _one(key: str, says: str, *places: Place) -> Requirement:
    return Requirement(key, says, places)


def _rf(code: str, /, **says: str) -> tuple[Requirement, ...]:
    return _named(code, says, requisitos("4"), whole("1.4"))


def _rnf(code: str, /, **says: str) -> tuple[Requirement, ...]:
    return _named(code, says, requisitos("5"), whole("1.5"))


FUNCTIONAL = (
    *_rf(
        "rf_01",
        gguf="Runs models compatible with GGUF.",
        streaming="Infers incrementally and streams tokens.",
        prompt="Accepts prompts in text.",
    ),
    *_rf(
        "rf_02",
        separation="Separates the model's definition from decisions of execution.",
        explicit="Represents decisions of execution in an explicit Execution Plan.",
        backend="The plan holds the backend.",
        quantization="The plan holds the quantization.",
        policy="The plan holds the scheduler's policy.",
        limits="The plan holds operational limits, such as a maximum of watts.",
    ),
    *_rf(
        "rf_03",
        parameter="Treats quantization as a parameter of execution, not an attribute of the model.",
        recipes="Supports at least Q8_0, Q6_K and Q4_K_M.",
        same_artifact="Changes quantization without changing the model's logical artifact.",
    ),
    *_rf(
        "rf_04",
        interface="Defines one interface of backends.",
        implementations="Allows several implementations.",
        choice="Selects the backend at run time by the plan.",
    ),
    *_rf(
        "rf_05",
        decoupled="Has a scheduler that is decoupled from the engine.",
        batching="Supports single execution and batching.",
        policies="Allows policies of latency, cost and energy.",
    ),
    *_rf(
        "rf_06",
        tokens_per_sec="Collects tokens per second of each execution.",
        latency="Collects latency (p50, p95) of each execution.",
        watts="Collects average watts of each execution.",
        tokens_per_watt="Collects tokens per watt of each execution.",
        cli="Metrics are accessible by the CLI.",
        api="Metrics are accessible by the API.",
        json="Metrics are serializable as JSON.",
    ),
    *_rf(
        "rf_07",
        cli="Has a CLI for local execution.",
        api="Has a local API (HTTP or gRPC).",
        weos="Has clear endpoints for the integration with the WeOS.",
    ),
)
NON_FUNCTIONAL = (
    *_rnf(
        "rnf_01",
        overhead="Runtime overhead under 5 %.",
        frameworks="No mandatory dependency on high-level ML frameworks.",
    ),
    *_rnf(
        "rnf_02",
        heuristics="No implicit undocumented heuristic.",
        decisions="Decisions of execution are always explicit in the plan.",
    ),
    *_rnf("rnf_03", platform="Targets Linux x86_64.", cmake="Builds with CMake.", cpp20="Needs a C++20 compiler."),
    *_rnf(
        "rnf_04",
        code="Does not execute arbitrary code.",
        schema="Configuration is validated by schema.",
        modification="Does not modify its own code at run time.",
    ),
)
OBJECTIVES = (
    *_named("obj_01", {"": "Tokens per watt is the primary metric."}, requisitos("2"), whole("1.2")),
    *_named("obj_02", {"": "Same input and same configuration give the same result."}, requisitos("2"), whole("1.2")),
    *_named("obj_03", {"": "Model, plan and backend are separate by contract."}, requisitos("2"), whole("1.2")),
    *_named(
        "obj_04",
        {
            "observe": "Agents observe.",
            "test": "Agents test.",
            "propose": "Agents propose optimizations without altering the core's code.",
        },
        requisitos("2"),
        whole("1.2"),
    ),
    *_named(
        "scope",
        {"excluded": "Training, fine-tuning, distributed inference, orchestration and GPUs are out of scope."},
        requisitos("3"),
        whole("1.3"),
    ),
    *_named(
        "kpi",
        {
            "tokens_per_watt": "Executions can be compared by tokens per watt.",
            "quantization": "A change of quantization needs no change of model.",
            "agents": "External agents can optimize execution without altering code.",
            "observable": "The engine is observable and reproducible.",
        },
        requisitos("6"),
        whole("1.6"),
    ),
)
FLOW = (
    _one("flow_layers", "Layers reach those below by contracts alone.", whole("2.2"), whole("2.3")),
    _one("flow_cli", "CLI and API translate and decide nothing.", whole("2.3.1")),
    Requirement(
        "flow_stages", "The stages of an execution follow one another, none implicit.", (whole("2.6"), whole("3.2"))
    ),
    _one("flow_plan_immutable", "The control plane makes an immutable plan.", whole("3.4")),
    _one("flow_initialization", "No token is generated while an execution is initialized.", whole("3.6")),
    Requirement(
        "flow_operations", "The backend executes the operations of every token.", (whole("3.8"), whole("2.3.5"))
    ),
    _one("flow_kv_cache", "The KV cache has one precision for an execution.", whole("3.9")),
    Requirement(
        "flow_streaming", "Every token is emitted at once, recorded, and counted for limits.", (whole("3.10"),)
    ),
    Requirement(
        "flow_levels", "Metrics of engine, backend and system meet in one object.", (whole("2.7"), whole("3.11"))
    ),
    _one("flow_end", "At the end memory is freed and the result returned.", whole("3.13")),
    _one("flow_dependencies", "No hidden external dependency.", whole("3.14")),
    _one("flow_extension", "Every optimization is expressible by the plan.", whole("2.9"), whole("2.8")),
)
STOPS = (
    _one("stop_eos", "An execution ends at the end-of-sequence token.", whole("3.12")),
    _one("stop_tokens", "An execution ends at the limit of tokens.", whole("3.12")),
    _one("stop_energy", "An execution ends at the limit of energy.", whole("3.12")),
    _one("stop_interruption", "An execution ends when it is interrupted from outside.", whole("3.12")),
    _one("stop_recorded", "The condition that ended an execution is recorded.", whole("3.12")),
)
METRICS = (
    _one("metric_tokens_total", "tokens_total: tokens generated.", whole("4.4.1")),
    _one("metric_tokens_per_sec", "tokens_per_sec = tokens_total / total time.", whole("4.4.2")),
    _one("metric_latency_total_ms", "latency_total_ms: total time of the execution.", whole("4.4.3")),
    _one("metric_latency_percentiles", "latency_p50_ms, latency_p95_ms of the tokens.", whole("4.4.4")),
    _one("metric_watts_avg", "watts_avg: average watts of the active interval alone.", whole("4.4.5")),
    _one("metric_tokens_per_watt", "tokens_per_watt = tokens_per_sec / watts_avg.", whole("4.4.6")),
    _one("metric_memory_peak_mb", "memory_peak_mb: peak of memory during the execution.", whole("4.5.1")),
    _one("metric_op_time_ms", "op_time_ms: time by type of operation.", whole("4.5.2")),
    _one("metric_clock", "Times are of a monotonic clock, to the microsecond.", whole("4.6.1")),
    _one("metric_energy_readings", "RAPL is read before and after the execution.", whole("4.6.2"), stack("8")),
    Requirement(
        "metric_unit", "Metrics belong to one execution: model, plan, backend, hardware, version.", (whole("4.3"),)
    ),
    Requirement(
        "metric_tolerances", "Comparable executions: 3 % of tokens_per_sec, 5 % of watts_avg.", (whole("4.7"),)
    ),
)
EXAMPLES = (
    _one("example_plan", "The conceptual plan.", whole("2.4")),
    _one("example_cli", "The example of the CLI.", whole("3.3.1")),
    _one("example_api", "The example of the API.", whole("3.3.1")),
    _one("example_filled_plan", "The plan that the control plane makes of the example.", whole("3.4")),
    _one("example_output", "The output: result and metrics.", whole("3.13")),
    _one("example_metrics", "Metrics as JSON.", whole("4.8")),
    _one("example_run_request", "The Run Request.", whole("5.5"), weos("5")),
    _one("example_metrics_contract", "The contract of metrics.", whole("5.6"), weos("6")),
)
PROHIBITIONS = (
    _one("ban_arbitrary_code", "No execution of arbitrary code.", whole("5.9"), weos("9")),
    _one(
        "ban_self_modification",
        "No modification of its own binaries, none of code at run time.",
        whole("2.9"),
        whole("3.14"),
        whole("5.9"),
        weos("9"),
    ),
    _one("ban_backend_change", "No change of backend at run time without an explicit plan.", whole("5.9"), weos("9")),
    _one("ban_hidden_state", "No hidden state between executions.", whole("5.9"), weos("9")),
    _one("ban_hidden_decision", "No decision hidden in a backend.", whole("2.9"), whole("3.14")),
    _one("ban_altered_metrics", "Agents may not alter metrics.", whole("4.9")),
    _one("ban_redefined_formulas", "Agents may not redefine formulas.", whole("4.9")),
    _one("ban_hidden_measurements", "Agents may not hide measurements.", whole("4.9")),
    _one("ban_implicit_metrics", "No implicit metrics, and none calculated outside the engine.", whole("4.10")),
    _one("ban_magic_benchmarks", "No magic benchmarks.", whole("4.10")),
    _one("ban_unequal_comparison", "No comparison of executions that are not equivalent.", whole("4.10")),
)
WEOS = (
    Requirement(
        "weos_direct_access", "The WeOS reaches neither backend, memory nor hardware.", (whole("5.4"), weos("4"))
    ),
    _one("weos_invalid_requests", "Invalid requests are rejected.", whole("5.5"), weos("5")),
    _one("weos_metrics_immutable", "Metrics are immutable.", whole("5.6"), weos("6")),
    _one("weos_metrics_auditable", "Metrics are auditable.", whole("5.6"), weos("6")),
    _one("weos_metrics_comparable", "Metrics are comparable.", whole("5.6"), weos("6")),
    _one("weos_loop", "Run, measure, compare, propose, run again, validate.", whole("5.7"), weos("7")),
    Requirement(
        "weos_observer", "An observing agent collects metrics and changes nothing.", (whole("5.8.1"), weos("8.1"))
    ),
    Requirement(
        "weos_experimental", "An experimental agent runs controlled variations.", (whole("5.8.2"), weos("8.2"))
    ),
    _one("weos_optimizer", "An optimizing agent proposes plans, within limits.", whole("5.8.3"), weos("8.3")),
    _one("weos_version", "Each version has an identifier, and metrics hold it.", whole("5.10"), weos("10")),
    _one("weos_identity", "The engine implements no logic of identity.", stack("12")),
)
STACK = (
    _one("stack_core", "The core is C++20; Python is no part of the run loop.", stack("3.1"), stack("3.2")),
    _one("stack_python", "Python 3.10 or newer for tools.", stack("3.2"), stack("13")),
    _one("stack_build", "CMake and Ninja.", stack("5.2")),
    _one("stack_avx2", "AVX2 is needed, AVX-512 optional.", stack("7.1"), requisitos("3")),
    _one("stack_forbidden", "Named frameworks are not used in the core.", stack("10")),
    _one("stack_version", "Semantic versions, told at run time.", stack("11")),
    _one("stack_api", "A local API with JSON.", stack("12"), stack("13")),
)
REQUIREMENTS: tuple[Requirement, ...] = (
    *OBJECTIVES, *FUNCTIONAL, *NON_FUNCTIONAL, *FLOW, *STOPS, *METRICS, *EXAMPLES, *PROHIBITIONS, *WEOS, *STACK,
)  # fmt: skip
NAMES = (
    *(f"OBJ-{number:02}" for number in range(1, 5)),
    *(f"RF-{number:02}" for number in range(1, 8)),
    *(f"RNF-{number:02}" for number in range(1, 5)),
)
"""Those that the documents give names themselves."""
