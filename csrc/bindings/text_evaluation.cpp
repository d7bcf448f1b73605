#include "model/jobs/text_evaluation.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bindings/arguments.h"
#include "bindings/register.h"

namespace engine::bindings {
namespace {

namespace py = pybind11;
using model::Model;
using model::TextEvaluation;
using Release = py::call_guard<py::gil_scoped_release>;

// [positions], copied; None where there is no base.
template <typename To, typename From>
py::object against_base(const TextEvaluation& evaluation, const std::vector<From>& scores) {
  if (!evaluation.has_base()) return py::none();
  py::array_t<To> array(static_cast<py::ssize_t>(scores.size()));
  std::ranges::transform(scores, array.mutable_data(), [](From score) { return static_cast<To>(score); });
  return array;
}

}  // namespace

void register_text_evaluation(py::module_& m) {
  py::class_<TextEvaluation>(m, "TextEvaluation")
      .def(py::init([](std::shared_ptr<Model> model, std::shared_ptr<Model> base, std::vector<std::int32_t> tokens,
                       std::size_t window, unsigned threads, std::optional<std::int32_t> bos,
                       const std::string& kv_cache, const std::optional<std::string>& base_kv_cache) {
             return std::make_unique<TextEvaluation>(
                 std::move(model), std::move(base), std::move(tokens),
                 model::TextEvaluationOptions{window, threads, bos, kv_type(kv_cache),
                                              kv_type(base_kv_cache.value_or(kv_cache))});
           }),
           py::arg("model").none(false), py::arg("base").none(true), py::arg("tokens"), py::kw_only(),
           py::arg("window") = 512, py::arg("threads"), py::arg("bos"), py::arg("kv_cache") = "f16",
           py::arg("base_kv_cache") = py::none())
      .def("run", &TextEvaluation::run, Release())
      .def("cancel", &TextEvaluation::cancel)
      .def("progress",
           [](const TextEvaluation& evaluation) {
             const TextEvaluation::Progress progress = evaluation.progress();
             return py::make_tuple(progress.windows_done, progress.windows_total);
           })
      .def_property_readonly("nll",
                             [](const TextEvaluation& evaluation) {
                               const std::vector<double>& nll = evaluation.scores().nll;
                               return py::array_t<double>(static_cast<py::ssize_t>(nll.size()), nll.data());
                             })
      .def_property_readonly("base_nll",
                             [](const TextEvaluation& evaluation) {
                               return against_base<double>(evaluation, evaluation.scores().base_nll);
                             })
      .def_property_readonly("divergence",
                             [](const TextEvaluation& evaluation) {
                               return against_base<double>(evaluation, evaluation.scores().divergence);
                             })
      .def_property_readonly("same_best", [](const TextEvaluation& evaluation) {
        return against_base<bool>(evaluation, evaluation.scores().same_best);
      });
}

}  // namespace engine::bindings
