#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/float_environment.h"
#include "bindings/register.h"
#include "runtime/sampling/log_probabilities.h"
#include "runtime/sampling/sampler.h"

namespace engine::bindings {
namespace {

namespace py = pybind11;
using runtime::Mirostat;
using runtime::SamplingOptions;

SamplingOptions sampling_options(const std::vector<std::string>& order, float temperature, std::int32_t top_k,
                                 float top_p, float min_p, float typical_p, float repeat_penalty,
                                 float presence_penalty, float frequency_penalty, std::size_t repeat_last_n,
                                 float dry_multiplier, float dry_base, std::size_t dry_allowed_length,
                                 std::size_t dry_last_n, std::vector<std::int32_t> dry_breakers, float xtc_probability,
                                 float xtc_threshold, float mirostat_tau, float mirostat_eta,
                                 const std::map<std::int32_t, float>& logit_bias, std::uint64_t seed) {
  SamplingOptions options{
      .order = {},
      .temperature = temperature,
      .top_k = top_k,
      .top_p = top_p,
      .min_p = min_p,
      .typical_p = typical_p,
      .repeat_penalty = repeat_penalty,
      .presence_penalty = presence_penalty,
      .frequency_penalty = frequency_penalty,
      .repeat_last_n = repeat_last_n,
      .dry_multiplier = dry_multiplier,
      .dry_base = dry_base,
      .dry_allowed_length = dry_allowed_length,
      .dry_last_n = dry_last_n,
      .dry_breakers = std::move(dry_breakers),
      .xtc_probability = xtc_probability,
      .xtc_threshold = xtc_threshold,
      .mirostat_tau = mirostat_tau,
      .mirostat_eta = mirostat_eta,
      .bias_tokens = {},
      .biases = {},
      .seed = seed,
      .choice = 0,
  };
  for (const std::string& name : order) options.order.push_back(runtime::sampler_kind(name));
  std::ranges::sort(options.dry_breakers);
  for (const auto& [token, bias] : logit_bias) {
    options.bias_tokens.push_back(token);
    options.biases.push_back(bias);
  }
  return options;
}

// What the run loop keeps for a sequence from draw to draw, and a sampler of its own.
struct SamplingRun {
  explicit SamplingRun(const SamplingOptions& request, std::uint32_t choice) : options(request), mirostat(request) {
    options.choice = choice;
  }

  std::int32_t sample(const std::vector<float>& logits, const std::vector<std::int32_t>& history,
                      std::uint64_t position) {
    if (logits.empty()) throw std::invalid_argument("no logits");
    for (const std::int32_t token : history) {
      if (token < 0 || static_cast<std::size_t>(token) >= logits.size()) {
        throw std::invalid_argument("token " + std::to_string(token) + " has no logit");
      }
    }
    runtime::check(options, logits.size());
    const InferenceFloatEnvironment environment;
    return sampler.sample(logits, {}, history, position, options, mirostat);
  }

  SamplingOptions options;
  Mirostat mirostat;
  runtime::Sampler sampler;
};

}  // namespace

void register_sampling(py::module_& m) {
  py::class_<SamplingOptions>(m, "SamplingOptions")
      .def(py::init(&sampling_options), py::kw_only(), py::arg("order") = std::vector<std::string>{"temperature"},
           py::arg("temperature") = 0.0F, py::arg("top_k") = 0, py::arg("top_p") = 1.0F, py::arg("min_p") = 0.0F,
           py::arg("typical_p") = 1.0F, py::arg("repeat_penalty") = 1.0F, py::arg("presence_penalty") = 0.0F,
           py::arg("frequency_penalty") = 0.0F, py::arg("repeat_last_n") = 64, py::arg("dry_multiplier") = 0.0F,
           py::arg("dry_base") = 1.75F, py::arg("dry_allowed_length") = 2, py::arg("dry_last_n") = 65536,
           py::arg("dry_breakers") = std::vector<std::int32_t>{}, py::arg("xtc_probability") = 0.0F,
           py::arg("xtc_threshold") = 0.1F, py::arg("mirostat_tau") = 0.0F, py::arg("mirostat_eta") = 0.1F,
           py::arg("logit_bias") = std::map<std::int32_t, float>{}, py::arg("seed") = 0);
  py::class_<SamplingRun>(m, "SamplingRun")
      .def(py::init<const SamplingOptions&, std::uint32_t>(), py::arg("options"), py::arg("choice") = 0)
      .def("sample", &SamplingRun::sample, py::arg("logits"), py::arg("history"), py::arg("position"))
      .def_property_readonly("mirostat_bound", [](const SamplingRun& run) { return run.mirostat.bound(); });
}

}  // namespace engine::bindings
