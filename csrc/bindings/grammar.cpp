#include "runtime/grammar/grammar.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "bindings/register.h"

namespace engine::bindings {
namespace {

namespace py = pybind11;
using runtime::Grammar;
using runtime::GrammarLibrary;
using runtime::GrammarVocabulary;
using runtime::Vocabulary;

std::shared_ptr<GrammarVocabulary> vocabulary_of(const std::shared_ptr<GrammarLibrary>& library,
                                                 const Vocabulary& vocabulary,
                                                 const std::vector<std::int32_t>& end_tokens) {
  return std::make_shared<GrammarVocabulary>(library, vocabulary, end_tokens);
}

// pybind11 holds no pointers to const.
std::shared_ptr<Grammar> compile(const std::shared_ptr<GrammarVocabulary>& vocabulary, std::string language,
                                 std::string source, std::int64_t patience_ms) {
  return std::const_pointer_cast<Grammar>(
      Grammar::compile(vocabulary, std::move(language), std::move(source), std::chrono::milliseconds(patience_ms)));
}

}  // namespace

void register_grammar(py::module_& m) {
  using Release = py::call_guard<py::gil_scoped_release>;
  m.attr("GRAMMAR_LIBRARY_VERSION") = runtime::kGrammarLibraryVersion;
  py::class_<GrammarLibrary, std::shared_ptr<GrammarLibrary>>(m, "GrammarLibrary")
      .def(py::init<std::string>(), py::arg("path"), Release());
  py::class_<GrammarVocabulary, std::shared_ptr<GrammarVocabulary>>(m, "GrammarVocabulary")
      .def(py::init(&vocabulary_of), py::arg("library").none(false), py::arg("vocabulary"), py::arg("eos_token_ids"),
           Release());
  py::class_<Grammar, std::shared_ptr<Grammar>>(m, "Grammar")
      .def(py::init(&compile), py::arg("vocabulary").none(false), py::arg("language"), py::arg("source"), py::kw_only(),
           py::arg("patience_ms"), Release());
}

}  // namespace engine::bindings
