#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/aligned_buffer.h"
#include "gguf/error.h"
#include "gguf/file_identity.h"
#include "gguf/tensor_type.h"

namespace engine::gguf {

enum class ValueType : std::uint32_t {
  U8 = 0,
  I8 = 1,
  U16 = 2,
  I16 = 3,
  U32 = 4,
  I32 = 5,
  F32 = 6,
  Bool = 7,
  String = 8,
  Array = 9,
  U64 = 10,
  I64 = 11,
  F64 = 12,
};

std::string_view value_type_name(ValueType type);

// An array in place: `bytes` holds `count` elements, for strings each with its 8-byte length before it.
struct ArrayView {
  ValueType element_type;
  std::uint64_t count;
  std::span<const std::byte> bytes;

  // Throws MalformedFile where the elements are not strings, or not numbers.
  std::vector<std::string_view> strings() const;
  std::vector<double> numbers() const;
  std::vector<std::int64_t> integers() const;
};

using Value = std::variant<std::uint64_t, std::int64_t, double, bool, std::string_view, ArrayView>;

struct TensorInfo {
  std::string_view name;
  TensorType type;
  std::vector<std::uint64_t> dimensions;  // the contiguous dimension first
  std::size_t part;                       // index of the file that holds it, see File::part()
  std::uint64_t offset;                   // in that file
  std::uint64_t size_bytes;               // see TensorReader

  std::size_t columns() const { return dimensions[0]; }
  std::size_t rows() const;
};

// A tensor of a type that this engine does not compute with.
struct ForeignTensor {
  std::string_view name;
  std::uint32_t type_id;
  std::vector<std::uint64_t> dimensions;  // the contiguous dimension first
};

// A GGUF v2 or v3 file: what stands before its tensors, in memory. Nothing of it reads the file again or holds it open.
// Every count, size, offset and type is checked against the file before it is used.
// A model may be split into several files, NAME-00001-of-00003.gguf and so on: opened by the first, which has the keys,
// they are one.
class File {
 public:
  // Throws std::system_error, MalformedFile (also for another part than the first), ChangedFile, std::bad_alloc.
  explicit File(const std::string& path);

  const std::string& path() const { return path_; }
  // The state of this part that was read.
  const FileIdentity& identity() const { return identity_; }
  // How many files the model has, and each of them; this is the first.
  std::size_t parts() const { return 1 + other_parts_.size(); }
  const File& part(std::size_t index) const { return index == 0 ? *this : *other_parts_[index - 1]; }
  std::uint32_t version() const { return version_; }
  // Bytes of all parts.
  std::size_t size() const;
  std::span<const std::string_view> keys() const { return keys_; }
  std::span<const TensorInfo> tensors() const { return tensors_; }
  // Those that are no part of tensors(): a file of such weights still has keys and a vocabulary.
  std::span<const ForeignTensor> foreign_tensors() const { return foreign_tensors_; }
  // Throws UnsupportedModel: there are foreign tensors.
  void require_own_types() const;
  // [keys] Each key with its value, as they lie in the file.
  std::span<const std::span<const std::byte>> pairs() const { return pairs_; }
  // What tensors begin at a multiple of.
  std::uint64_t alignment() const { return alignment_; }

  const Value* find(std::string_view key) const;
  const TensorInfo* find_tensor(std::string_view name) const;

  // Typed access. nullopt where the key is absent; throws MalformedFile where it has another type.
  std::optional<std::uint64_t> unsigned_integer(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::string_view> string(std::string_view key) const;
  const ArrayView* array(std::string_view key) const;

 private:
  class Reader;
  struct Part {
    std::uint64_t number;  // from 0
    std::uint64_t count;
  };
  // One part, without the others.
  File(const std::string& path, const Part& part);

  void read_header();
  // {0, 1} for a file that is not split.
  Part place() const;
  void open_other_parts(std::uint64_t count);
  void read_metadata(Reader& reader, std::uint64_t count);
  void read_tensors(Reader& reader, std::uint64_t count);
  // `tensor.offset` counts from the begin of the data, and then from that of the file.
  void place_tensor(TensorInfo& tensor, std::uint64_t data_begin) const;
  void check_overlap() const;

  std::string path_;
  FileIdentity identity_;
  AlignedBuffer header_;  // what names, keys and values point into
  std::uint32_t version_ = 0;
  std::uint64_t alignment_ = 0;
  std::vector<std::string_view> keys_;
  std::vector<std::span<const std::byte>> pairs_;
  std::unordered_map<std::string_view, Value> values_;
  std::vector<TensorInfo> tensors_;
  std::vector<ForeignTensor> foreign_tensors_;
  std::unordered_map<std::string_view, std::size_t> tensor_index_;
  std::vector<std::unique_ptr<const File>> other_parts_;
};

}  // namespace engine::gguf
