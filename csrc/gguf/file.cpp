#include "gguf/file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <type_traits>

#include "base/checked.h"
#include "base/float16.h"
#include "gguf/source_file.h"

namespace engine::gguf {
namespace {

constexpr std::uint32_t kMagic = 0x46554747;  // "GGUF", little endian
constexpr std::uint64_t kDefaultAlignment = 32;
constexpr std::uint64_t kMaxAlignment = 64 * 1024;
constexpr std::uint64_t kMaxNameBytes = 256;
constexpr std::uint64_t kMaxKeyBytes = 65535;
constexpr std::uint32_t kMaxDimensions = 4;
// The largest vocabularies take some ten megabytes.
constexpr std::uint64_t kMaxHeaderBytes = std::uint64_t{256} << 20;
constexpr std::uint64_t kReadBytes = std::uint64_t{256} << 10;
// The least a key-value pair or a tensor description can take: counts are checked against it before anything is
// reserved.
constexpr std::uint64_t kMinPairBytes = 8 + 4 + 1;
constexpr std::uint64_t kMinTensorBytes = 8 + 4 + 8 + 4 + 8;

std::size_t scalar_bytes(ValueType type) {
  switch (type) {
    case ValueType::U8:
    case ValueType::I8:
    case ValueType::Bool:
      return 1;
    case ValueType::U16:
    case ValueType::I16:
      return 2;
    case ValueType::U32:
    case ValueType::I32:
    case ValueType::F32:
      return 4;
    case ValueType::U64:
    case ValueType::I64:
    case ValueType::F64:
      return 8;
    case ValueType::String:
    case ValueType::Array:
      break;
  }
  return 0;
}

// `source` holds at least scalar_bytes(type).
Value scalar_value(ValueType type, const std::byte* source) {
  switch (type) {
    case ValueType::U8:
      return std::uint64_t{load_unaligned<std::uint8_t>(source)};
    case ValueType::I8:
      return std::int64_t{load_unaligned<std::int8_t>(source)};
    case ValueType::U16:
      return std::uint64_t{load_unaligned<std::uint16_t>(source)};
    case ValueType::I16:
      return std::int64_t{load_unaligned<std::int16_t>(source)};
    case ValueType::U32:
      return std::uint64_t{load_unaligned<std::uint32_t>(source)};
    case ValueType::I32:
      return std::int64_t{load_unaligned<std::int32_t>(source)};
    case ValueType::F32:
      return double{load_unaligned<float>(source)};
    case ValueType::Bool:
      return load_unaligned<std::uint8_t>(source) != 0;
    case ValueType::U64:
      return load_unaligned<std::uint64_t>(source);
    case ValueType::I64:
      return load_unaligned<std::int64_t>(source);
    case ValueType::F64:
      return load_unaligned<double>(source);
    case ValueType::String:
    case ValueType::Array:
      break;
  }
  throw MalformedFile("a string or array stands where a scalar belongs");
}

template <typename T>
std::vector<T> numeric_elements(const ArrayView& array) {
  const std::size_t stride = scalar_bytes(array.element_type);
  if (stride == 0) throw MalformedFile("an array of strings stands where numbers belong");
  std::vector<T> result;
  result.reserve(array.count);
  for (std::uint64_t i = 0; i < array.count; ++i) {
    const Value value = scalar_value(array.element_type, array.bytes.data() + i * stride);
    result.push_back(std::visit(
        [](const auto& v) -> T {
          if constexpr (std::is_arithmetic_v<std::decay_t<decltype(v)>>) return static_cast<T>(v);
          return T{};
        },
        value));
  }
  return result;
}

}  // namespace

std::string_view value_type_name(ValueType type) {
  constexpr std::array<std::string_view, 13> kNames{"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                    "bool", "string", "array", "u64", "i64", "f64"};
  return kNames.at(static_cast<std::size_t>(type));
}

std::vector<std::string_view> ArrayView::strings() const {
  if (element_type != ValueType::String) throw MalformedFile("an array of numbers stands where strings belong");
  std::vector<std::string_view> result;
  result.reserve(count);
  const std::byte* cursor = bytes.data();
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto length = load_unaligned<std::uint64_t>(cursor);
    result.emplace_back(reinterpret_cast<const char*>(cursor + 8), length);
    cursor += 8 + length;
  }
  return result;
}

std::vector<double> ArrayView::numbers() const { return numeric_elements<double>(*this); }

std::vector<std::int64_t> ArrayView::integers() const {
  if (element_type == ValueType::F32 || element_type == ValueType::F64) {
    throw MalformedFile("an array of floats stands where integers belong");
  }
  return numeric_elements<std::int64_t>(*this);
}

std::size_t TensorInfo::rows() const {
  std::size_t rows = 1;
  for (std::size_t i = 1; i < dimensions.size(); ++i) rows *= dimensions[i];
  return rows;
}

// A cursor that cannot leave the file. What it gives out stays in `header`, into which the file is read as far as it is
// asked for.
class File::Reader {
 public:
  // Throws std::bad_alloc.
  Reader(const SourceFile& source, AlignedBuffer& header)
      : source_(source), size_(source.identity().size), header_(header) {
    header_ = AlignedBuffer(std::min(size_, kMaxHeaderBytes));
  }

  std::uint64_t remaining() const { return size_ - position_; }
  std::uint64_t position() const { return position_; }

  std::span<const std::byte> take(std::uint64_t count, std::string_view what) {
    const std::uint64_t begin = position_;
    skip(count, what);
    hold(what);
    return between(begin, position_);
  }

  // What was taken from `begin` up to `end`.
  std::span<const std::byte> between(std::uint64_t begin, std::uint64_t end) const {
    return std::span<const std::byte>(header_.data(), header_.size()).subspan(begin, end - begin);
  }

  void skip(std::uint64_t count, std::string_view what) {
    if (count > remaining()) {
      throw MalformedFile("the file ends inside " + std::string(what) + ": " + std::to_string(count) +
                          " bytes wanted at offset " + std::to_string(position_) + ", " + std::to_string(remaining()) +
                          " left");
    }
    position_ += count;
  }

  template <typename T>
  T scalar(std::string_view what) {
    return load_unaligned<T>(take(sizeof(T), what).data());
  }

  std::string_view string(std::string_view what, std::uint64_t max_bytes) {
    const auto length = scalar<std::uint64_t>(what);
    if (length > max_bytes) throw MalformedFile(std::string(what) + " is " + std::to_string(length) + " bytes long");
    const auto part = take(length, what);
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }

  ValueType value_type(std::string_view what) {
    const auto id = scalar<std::uint32_t>(what);
    if (id > static_cast<std::uint32_t>(ValueType::F64)) {
      throw MalformedFile(std::string(what) + " has the unknown value type " + std::to_string(id));
    }
    return static_cast<ValueType>(id);
  }

  ArrayView array(std::string_view what) {
    const ValueType type = value_type(what);
    const auto count = scalar<std::uint64_t>(what);
    if (type == ValueType::Array) throw MalformedFile(std::string(what) + " holds an array of arrays");
    const std::uint64_t start = position_;
    if (type == ValueType::String) {
      if (count > remaining() / 8) throw too_many(what, count);
      for (std::uint64_t i = 0; i < count; ++i) string(what, remaining());
    } else {
      const auto bytes = checked_multiply<std::uint64_t>(count, scalar_bytes(type));
      if (!bytes || *bytes > remaining()) throw too_many(what, count);
      take(*bytes, what);
    }
    return {type, count, between(start, position_)};
  }

  // `what`, for messages, is the key.
  Value value(std::string_view what) {
    const ValueType type = value_type(what);
    if (type == ValueType::String) return string(what, remaining());
    if (type == ValueType::Array) return array(what);
    return scalar_value(type, take(scalar_bytes(type), what).data());
  }

 private:
  static MalformedFile too_many(std::string_view what, std::uint64_t count) {
    return MalformedFile(std::string(what) + " claims " + std::to_string(count) +
                         " elements, more than the file can hold");
  }

  // Everything up to the position.
  void hold(std::string_view what) {
    if (position_ <= held_) return;
    if (position_ > header_.size()) {
      throw MalformedFile(std::string(what) + " reaches beyond the " + std::to_string(kMaxHeaderBytes >> 20) +
                          " MiB that may stand before the tensors");
    }
    const std::uint64_t end = std::min<std::uint64_t>(round_up(position_, kReadBytes), header_.size());
    source_.read(held_, header_.bytes().subspan(held_, end - held_));
    held_ = end;
  }

  const SourceFile& source_;
  std::uint64_t size_;
  AlignedBuffer& header_;
  std::uint64_t held_ = 0;  // bytes of the file that are in the header
  std::uint64_t position_ = 0;
};

File::File(const std::string& path) : path_(path) {
  read_header();
  const auto [number, count] = place();
  if (number != 0) {
    throw MalformedFile("this is part " + std::to_string(number + 1) + " of " + std::to_string(count) +
                        " of a model; name the first");
  }
  if (count > 1) open_other_parts(count);
}

File::File(const std::string& path, const Part& expected) : path_(path) {
  read_header();
  const auto [number, count] = place();
  if (number == expected.number && count == expected.count) return;
  throw MalformedFile(quoted(path) + " is part " + std::to_string(number + 1) + " of " + std::to_string(count) +
                      " where part " + std::to_string(expected.number + 1) + " of " + std::to_string(expected.count) +
                      " belongs");
}

File::Part File::place() const {
  const std::uint64_t count = unsigned_integer("split.count").value_or(1);
  return {count > 1 ? unsigned_integer("split.no").value_or(0) : 0, std::max<std::uint64_t>(count, 1)};
}

void File::open_other_parts(std::uint64_t count) {
  const auto five_digits = [](std::uint64_t number) {
    const std::string digits = std::to_string(number);
    return std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0') + digits;
  };
  const auto suffix = [&](std::uint64_t number) {
    std::string name("-");
    name.append(five_digits(number + 1)).append("-of-").append(five_digits(count)).append(".gguf");
    return name;
  };
  if (!path_.ends_with(suffix(0))) {
    throw MalformedFile("this is the first of " + std::to_string(count) + " parts, whose name must end in " +
                        quoted(suffix(0)));
  }
  const std::string prefix = path_.substr(0, path_.size() - suffix(0).size());
  for (std::uint64_t number = 1; number < count; ++number) {
    const File& part = *other_parts_.emplace_back(new File(prefix + suffix(number), {number, count}));
    for (const TensorInfo& tensor : part.tensors_) {
      if (!tensor_index_.emplace(tensor.name, tensors_.size()).second) {
        throw MalformedFile("tensor " + quoted(tensor.name) + " is in several parts");
      }
      tensors_.push_back(tensor);
      tensors_.back().part = number;
    }
    const auto& foreign = part.foreign_tensors_;
    foreign_tensors_.insert(foreign_tensors_.end(), foreign.begin(), foreign.end());
  }
  const std::size_t found = tensors_.size() + foreign_tensors_.size();
  if (const std::uint64_t wanted = unsigned_integer("split.tensors.count").value_or(found); wanted != found) {
    throw MalformedFile("the parts have " + std::to_string(found) + " tensors together, not " + std::to_string(wanted));
  }
}

void File::require_own_types() const {
  if (foreign_tensors_.empty()) return;
  const ForeignTensor& first = foreign_tensors_.front();
  throw UnsupportedModel("tensor " + quoted(first.name) + " has the unsupported type " + std::to_string(first.type_id));
}

std::size_t File::size() const {
  std::size_t bytes = identity_.size;
  for (const auto& part : other_parts_) bytes += part->size();
  return bytes;
}

void File::read_header() {
  const SourceFile source(path_);
  identity_ = source.identity();
  Reader reader(source, header_);
  if (reader.scalar<std::uint32_t>("the magic number") != kMagic) {
    throw MalformedFile("the file does not begin with GGUF");
  }
  version_ = reader.scalar<std::uint32_t>("the version");
  if (version_ != 2 && version_ != 3) {
    throw MalformedFile("GGUF version " + std::to_string(version_) + " (little endian 2 and 3 are read)");
  }
  const auto tensor_count = reader.scalar<std::uint64_t>("the tensor count");
  const auto pair_count = reader.scalar<std::uint64_t>("the key count");
  if (pair_count > reader.remaining() / kMinPairBytes) {
    throw MalformedFile("the header claims " + std::to_string(pair_count) + " keys, more than the file can hold");
  }
  if (tensor_count > reader.remaining() / kMinTensorBytes) {
    throw MalformedFile("the header claims " + std::to_string(tensor_count) + " tensors, more than the file can hold");
  }
  read_metadata(reader, pair_count);
  read_tensors(reader, tensor_count);
  source.require_unchanged();
}

void File::read_metadata(Reader& reader, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t begin = reader.position();
    const std::string_view key = reader.string("a key", kMaxKeyBytes);
    const std::string what = "key " + quoted(key);
    if (!values_.emplace(key, reader.value(what)).second) throw MalformedFile(what + " appears twice");
    keys_.push_back(key);
    pairs_.push_back(reader.between(begin, reader.position()));
  }
}

void File::read_tensors(Reader& reader, std::uint64_t count) {
  const std::uint64_t alignment = unsigned_integer("general.alignment").value_or(kDefaultAlignment);
  if (!std::has_single_bit(alignment) || alignment > kMaxAlignment) {
    throw MalformedFile("general.alignment is " + std::to_string(alignment) + ", not a power of two up to 65536");
  }
  alignment_ = alignment;
  for (std::uint64_t i = 0; i < count; ++i) {
    TensorInfo tensor{};
    tensor.name = reader.string("a tensor name", kMaxNameBytes);
    const std::string what = "tensor " + quoted(tensor.name);
    const auto dimensions = reader.scalar<std::uint32_t>(what);
    if (dimensions == 0 || dimensions > kMaxDimensions) {
      throw MalformedFile(what + " has " + std::to_string(dimensions) + " dimensions");
    }
    for (std::uint32_t d = 0; d < dimensions; ++d) {
      tensor.dimensions.push_back(reader.scalar<std::uint64_t>(what));
    }
    const auto type_id = reader.scalar<std::uint32_t>(what);
    tensor.offset = reader.scalar<std::uint64_t>(what);
    const TypeTraits* traits = find_type_traits(type_id);
    if (traits == nullptr) {
      foreign_tensors_.push_back({tensor.name, type_id, std::move(tensor.dimensions)});
      continue;
    }
    tensor.type = traits->type;
    if (!tensor_index_.emplace(tensor.name, tensors_.size()).second) {
      throw MalformedFile(what + " appears twice");
    }
    tensors_.push_back(std::move(tensor));
  }
  header_.shrink(reader.position());
  if (count == 0) return;
  reader.skip(round_up(reader.position(), alignment) - reader.position(), "the padding before the tensor data");
  for (TensorInfo& tensor : tensors_) place_tensor(tensor, reader.position());
  check_overlap();
}

void File::place_tensor(TensorInfo& tensor, std::uint64_t data_begin) const {
  const TypeTraits& traits = type_traits(tensor.type);
  std::optional<std::uint64_t> elements = 1;
  for (const std::uint64_t dimension : tensor.dimensions) {
    if (dimension == 0) throw MalformedFile("tensor " + quoted(tensor.name) + " has an empty dimension");
    if (elements) elements = checked_multiply(*elements, dimension);
  }
  if (tensor.dimensions[0] % traits.block_elements != 0) {
    throw MalformedFile("tensor " + quoted(tensor.name) + " has rows of " + std::to_string(tensor.dimensions[0]) +
                        " elements, not a multiple of the " + std::to_string(traits.block_elements) + " of " +
                        std::string(traits.name));
  }
  const auto bytes =
      elements ? checked_multiply<std::uint64_t>(*elements / traits.block_elements, traits.block_bytes) : std::nullopt;
  const auto end = bytes ? checked_add(tensor.offset, *bytes) : std::nullopt;
  if (!end || *end > identity_.size - data_begin) {
    throw MalformedFile("tensor " + quoted(tensor.name) + " reaches beyond the end of the file");
  }
  if (tensor.offset % alignment_ != 0) throw MalformedFile("tensor " + quoted(tensor.name) + " is not aligned");
  tensor.offset += data_begin;
  tensor.size_bytes = *bytes;
}

void File::check_overlap() const {
  std::vector<const TensorInfo*> order;
  order.reserve(tensors_.size());
  for (const TensorInfo& tensor : tensors_) order.push_back(&tensor);
  std::ranges::sort(order, {}, &TensorInfo::offset);
  for (std::size_t i = 1; i < order.size(); ++i) {
    if (order[i - 1]->offset + order[i - 1]->size_bytes > order[i]->offset) {
      throw MalformedFile("tensors " + quoted(order[i - 1]->name) + " and " + quoted(order[i]->name) + " overlap");
    }
  }
}

const Value* File::find(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

const TensorInfo* File::find_tensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

std::optional<std::uint64_t> File::unsigned_integer(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* u = std::get_if<std::uint64_t>(value)) return *u;
  if (const auto* i = std::get_if<std::int64_t>(value); i != nullptr && *i >= 0) return static_cast<std::uint64_t>(*i);
  throw MalformedFile("key " + quoted(key) + " is not a non-negative integer");
}

std::optional<double> File::number(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* d = std::get_if<double>(value)) return *d;
  if (const auto* u = std::get_if<std::uint64_t>(value)) return static_cast<double>(*u);
  if (const auto* i = std::get_if<std::int64_t>(value)) return static_cast<double>(*i);
  throw MalformedFile("key " + quoted(key) + " is not a number");
}

std::optional<bool> File::boolean(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* b = std::get_if<bool>(value)) return *b;
  throw MalformedFile("key " + quoted(key) + " is not a boolean");
}

std::optional<std::string_view> File::string(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* s = std::get_if<std::string_view>(value)) return *s;
  throw MalformedFile("key " + quoted(key) + " is not a string");
}

const ArrayView* File::array(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return nullptr;
  if (const auto* a = std::get_if<ArrayView>(value)) return a;
  throw MalformedFile("key " + quoted(key) + " is not an array");
}

}  // namespace engine::gguf
