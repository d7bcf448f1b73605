#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/float_environment.h"
#include "bindings/arguments.h"
#include "bindings/register.h"
#include "runtime/sampling/log_probabilities.h"
#include "runtime/sampling/sampler.h"

namespace engine::bindings {
namespace {

namespace py = pybind11;
using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;
using runtime::Mirostat;
using runtime::SamplingOptions;

void set_biases(SamplingOptions& options, const std::map<std::int32_t, float>& biases) {
  for (const auto& [token, bias] : biases) {
    options.bias_tokens.push_back(token);
    options.biases.push_back(bias);
  }
}

// What the run loop keeps for a sequence from draw to draw, and a sampler of its own.
struct SamplingRun {
  SamplingRun(const SamplingOptions& request, std::uint32_t choice, const std::string& kernel_table)
      : options(request), mirostat(request), sampler(usable_kernel_table(kernel_table)) {
    options.choice = choice;
  }

  std::int32_t sample(const Floats& array, const std::vector<std::int32_t>& history, std::uint64_t position) {
    const std::span<const float> logits(array.data(), static_cast<std::size_t>(array.size()));
    require(!logits.empty(), "no logits");
    require(std::ranges::all_of(logits, [](float logit) { return std::isfinite(logit); }),
            "logits that are not finite");
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
      .def(py::init(&options_of<SamplingOptions>))
      .def_property("order", nullptr,
                    [](SamplingOptions& options, const std::vector<std::string>& names) {
                      options.order.clear();
                      for (const std::string& name : names) options.order.push_back(runtime::sampler_kind(name));
                    })
      .def_property("dry_breakers", nullptr,
                    [](SamplingOptions& options, std::vector<std::int32_t> tokens) {
                      std::ranges::sort(tokens);
                      options.dry_breakers = std::move(tokens);
                    })
      .def_property("logit_bias", nullptr, &set_biases)
      .def_readwrite("temperature", &SamplingOptions::temperature)
      .def_readwrite("top_k", &SamplingOptions::top_k)
      .def_readwrite("top_p", &SamplingOptions::top_p)
      .def_readwrite("min_p", &SamplingOptions::min_p)
      .def_readwrite("typical_p", &SamplingOptions::typical_p)
      .def_readwrite("repeat_penalty", &SamplingOptions::repeat_penalty)
      .def_readwrite("presence_penalty", &SamplingOptions::presence_penalty)
      .def_readwrite("frequency_penalty", &SamplingOptions::frequency_penalty)
      .def_readwrite("repeat_last_n", &SamplingOptions::repeat_last_n)
      .def_readwrite("dry_multiplier", &SamplingOptions::dry_multiplier)
      .def_readwrite("dry_base", &SamplingOptions::dry_base)
      .def_readwrite("dry_allowed_length", &SamplingOptions::dry_allowed_length)
      .def_readwrite("dry_last_n", &SamplingOptions::dry_last_n)
      .def_readwrite("xtc_probability", &SamplingOptions::xtc_probability)
      .def_readwrite("xtc_threshold", &SamplingOptions::xtc_threshold)
      .def_readwrite("mirostat_tau", &SamplingOptions::mirostat_tau)
      .def_readwrite("mirostat_eta", &SamplingOptions::mirostat_eta)
      .def_readwrite("seed", &SamplingOptions::seed);
  py::class_<SamplingRun>(m, "SamplingRun")
      .def(py::init<const SamplingOptions&, std::uint32_t, const std::string&>(), py::arg("options"),
           py::arg("choice") = 0, py::arg("kernel_table") = "reference")
      .def("sample", &SamplingRun::sample, py::arg("logits"), py::arg("history"), py::arg("position"))
      .def_property_readonly("mirostat_bound", [](const SamplingRun& run) { return run.mirostat.bound(); });
}

}  // namespace engine::bindings
