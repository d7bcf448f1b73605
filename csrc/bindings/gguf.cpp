#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "base/digest.h"
#include "bindings/register.h"
#include "gguf/file.h"
#include "gguf/source_file.h"
#include "gguf/tensor_reader.h"
#include "text/byte_pairs.h"
#include "text/vocabulary.h"

namespace engine::bindings {
namespace {

namespace py = pybind11;
using gguf::ArrayView;
using gguf::ValueType;

py::object array_list(const ArrayView& array) {
  py::list list;
  if (array.element_type == ValueType::String) {
    for (const std::string_view element : array.strings()) list.append(text(element));
  } else if (array.element_type == ValueType::F32 || array.element_type == ValueType::F64) {
    for (const double element : array.numbers()) list.append(element);
  } else if (array.element_type == ValueType::Bool) {
    for (const std::int64_t element : array.integers()) list.append(element != 0);
  } else if (array.element_type == ValueType::U64) {
    for (const std::int64_t element : array.integers()) list.append(static_cast<std::uint64_t>(element));
  } else {
    for (const std::int64_t element : array.integers()) list.append(element);
  }
  return list;
}

py::object value_object(const gguf::Value& value) {
  return std::visit(
      [](const auto& v) -> py::object {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::string_view>) return text(v);
        if constexpr (std::is_same_v<T, ArrayView>) return array_list(v);
        if constexpr (std::is_arithmetic_v<T>) return py::cast(v);
      },
      value);
}

py::object array_info(const gguf::File& file, const std::string& key) {
  const gguf::Value* value = file.find(key);
  const auto* array = value == nullptr ? nullptr : std::get_if<ArrayView>(value);
  if (array == nullptr) return py::none();
  return py::make_tuple(text(gguf::value_type_name(array->element_type)), array->count);
}

std::vector<std::string> paths(const gguf::File& file) {
  std::vector<std::string> all;
  all.reserve(file.parts());
  for (std::size_t i = 0; i < file.parts(); ++i) all.push_back(file.part(i).path());
  return all;
}

// Join the names of all parts with "+".
std::string identity(const gguf::File& file) {
  std::string all;
  for (std::size_t i = 0; i < file.parts(); ++i) {
    if (i != 0) all += '+';
    all += file.part(i).identity().text();
  }
  return all;
}

// The tensor's bytes as in the file, which must not have changed since it was parsed.
py::bytes tensor_bytes(const gguf::File& file, const std::string& name) {
  const gguf::TensorInfo* tensor = file.find_tensor(name);
  if (tensor == nullptr) throw std::invalid_argument("no tensor is named '" + name + "'");
  std::vector<std::byte> bytes;
  {
    const py::gil_scoped_release release;
    const gguf::TensorReader reader(file);
    bytes = reader.read(*tensor);
    reader.require_unchanged();
  }
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Digest digest_of_file(const std::string& path) {
  constexpr std::uint64_t kStep = 1 << 20;
  static_assert(kStep % ByteDigest::kPiece == 0);
  const gguf::SourceFile file(path);
  const std::uint64_t size = file.identity().size;
  std::vector<std::byte> step(std::min(size, kStep));
  ByteDigest digest;
  for (std::uint64_t offset = 0; offset < size; offset += kStep) {
    const std::span<std::byte> piece = std::span(step).first(std::min(size - offset, kStep));
    file.read(offset, piece);
    digest.append(piece);
  }
  file.require_unchanged();
  return digest.digest();
}

py::tuple shape(std::span<const std::uint64_t> dimensions) {
  py::tuple shape(dimensions.size());
  for (std::size_t i = 0; i < dimensions.size(); ++i) shape[i] = dimensions[dimensions.size() - 1 - i];
  return shape;
}

void register_file(py::module_& m) {
  py::class_<gguf::TensorInfo>(m, "TensorInfo")
      .def_property_readonly("name", [](const gguf::TensorInfo& t) { return text(t.name); })
      .def_property_readonly("type", [](const gguf::TensorInfo& t) { return text(gguf::type_traits(t.type).name); })
      .def_property_readonly("shape", [](const gguf::TensorInfo& t) { return shape(t.dimensions); })
      .def_readonly("size_bytes", &gguf::TensorInfo::size_bytes);

  py::class_<gguf::File, std::shared_ptr<gguf::File>>(m, "GgufFile")
      .def(py::init<const std::string&>(), py::arg("path"), py::call_guard<py::gil_scoped_release>())
      .def_property_readonly("path", &gguf::File::path)
      .def_property_readonly("version", &gguf::File::version)
      .def_property_readonly("size_bytes", &gguf::File::size)
      .def_property_readonly("paths", &paths)
      .def_property_readonly("identity", &identity)
      .def("tensor_bytes", &tensor_bytes, py::arg("name"))
      .def("keys",
           [](const gguf::File& file) {
             py::list keys;
             for (const std::string_view key : file.keys()) keys.append(text(key));
             return keys;
           })
      .def("__contains__", [](const gguf::File& file, const std::string& key) { return file.find(key) != nullptr; })
      .def("get",
           [](const gguf::File& file, const std::string& key) -> py::object {
             const gguf::Value* value = file.find(key);
             return value == nullptr ? py::none() : value_object(*value);
           })
      .def("array_info", &array_info)
      .def("foreign_tensors",
           [](const gguf::File& file) {
             py::list tensors;
             for (const gguf::ForeignTensor& tensor : file.foreign_tensors()) {
               tensors.append(py::make_tuple(text(tensor.name), tensor.type_id, shape(tensor.dimensions)));
             }
             return tensors;
           })
      .def("tensors", [](const py::object& self) {
        // Each description points into the header, so each keeps the file.
        py::list tensors;
        for (const gguf::TensorInfo& tensor : self.cast<const gguf::File&>().tensors()) {
          tensors.append(py::cast(tensor, py::return_value_policy::reference_internal, self));
        }
        return tensors;
      });
}

}  // namespace

py::object text(std::string_view bytes) {
  return py::reinterpret_steal<py::object>(
      PyUnicode_DecodeUTF8(bytes.data(), static_cast<py::ssize_t>(bytes.size()), "replace"));
}

void register_gguf(py::module_& m) {
  register_file(m);
  m.def(
      "file_digest", [](const std::string& path) { return digest_of_file(path).hexadecimal(); }, py::arg("path"),
      py::call_guard<py::gil_scoped_release>());
  py::class_<runtime::BytePairs>(m, "BytePairs")
      .def(py::init([](const std::shared_ptr<gguf::File>& file, bool characters) {
             const auto spelling = characters ? runtime::Spelling::Characters : runtime::Spelling::Bytes;
             return std::make_unique<runtime::BytePairs>(file, spelling);
           }),
           py::arg("file"), py::arg("characters") = false, py::call_guard<py::gil_scoped_release>())
      .def(
          "encode",
          [](const runtime::BytePairs& pairs, const std::vector<std::string>& words, bool whole_words) {
            std::vector<std::int64_t> tokens;
            for (const std::string& word : words) pairs.encode(word, whole_words, tokens);
            return tokens;
          },
          py::arg("words"), py::arg("whole_words"), py::call_guard<py::gil_scoped_release>());
  py::class_<runtime::Vocabulary, std::shared_ptr<runtime::Vocabulary>>(m, "Vocabulary")
      .def(py::init<std::vector<std::string>>(), py::arg("pieces"))
      .def(py::init([](const gguf::File& file) { return std::make_shared<runtime::Vocabulary>(file); }),
           py::arg("file"))
      .def("__len__", &runtime::Vocabulary::size)
      .def("piece",
           [](const runtime::Vocabulary& vocabulary, std::int64_t token) { return py::bytes(vocabulary.piece(token)); })
      .def("detokenize", [](const runtime::Vocabulary& vocabulary, const std::vector<std::int64_t>& tokens) {
        return vocabulary.detokenize(tokens);
      });
}

}  // namespace engine::bindings
