#include "model/jobs/text_embedding.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings/arguments.h"
#include "bindings/register.h"

namespace engine::bindings {
namespace {

namespace py = pybind11;
using model::Model;
using model::Pooling;
using model::TextEmbedding;
using Release = py::call_guard<py::gil_scoped_release>;

Pooling pooling_named(const std::string& name) {
  if (name == "mean") return Pooling::Mean;
  if (name == "cls") return Pooling::Cls;
  if (name == "last") return Pooling::Last;
  if (name == "rank") return Pooling::Rank;
  throw std::invalid_argument("no pooling is named '" + name + "'");
}

}  // namespace

void register_text_embedding(py::module_& m) {
  py::class_<TextEmbedding>(m, "TextEmbedding")
      .def(py::init([](std::shared_ptr<Model> model, std::vector<std::vector<std::int32_t>> texts,
                       const std::string& pooling, bool normalize, std::size_t step_tokens, std::size_t side_by_side,
                       unsigned threads, const std::string& kv_cache, std::vector<std::size_t> second_begins) {
             return std::make_unique<TextEmbedding>(
                 std::move(model), std::move(texts), std::move(second_begins),
                 model::TextEmbeddingOptions{pooling_named(pooling), normalize, step_tokens, side_by_side, threads,
                                             kv_type(kv_cache)});
           }),
           py::arg("model").none(false), py::arg("texts"), py::kw_only(), py::arg("pooling"), py::arg("normalize"),
           py::arg("step_tokens") = 256, py::arg("side_by_side") = 32, py::arg("threads"), py::arg("kv_cache") = "f16",
           py::arg("second_begins") = std::vector<std::size_t>())
      .def_static(
          "kv_positions",
          [](std::size_t texts, std::size_t longest, std::size_t step_tokens, std::size_t side_by_side) {
            return TextEmbedding::kv_positions(texts, longest, step_tokens, side_by_side);
          },
          py::arg("texts"), py::arg("longest"), py::kw_only(), py::arg("step_tokens"), py::arg("side_by_side"))
      .def("run", &TextEmbedding::run, Release())
      .def("cancel", &TextEmbedding::cancel)
      .def("progress",
           [](const TextEmbedding& embedding) {
             const TextEmbedding::Progress progress = embedding.progress();
             return py::make_tuple(progress.tokens_done, progress.tokens_total);
           })
      .def_property_readonly("vectors", [](const TextEmbedding& embedding) {
        const std::vector<float>& vectors = embedding.vectors();
        return py::array_t<float>({embedding.texts(), embedding.dimension()}, vectors.data());
      });
}

}  // namespace engine::bindings
