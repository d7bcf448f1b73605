#include "gguf/tensor_reader.h"

#include <algorithm>
#include <string>
#include <system_error>

namespace engine::gguf {

namespace {

// One that is gone has changed.
std::unique_ptr<const SourceFile> open(const std::string& path) {
  try {
    return std::make_unique<const SourceFile>(path);
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::no_such_file_or_directory) throw ChangedFile(path);
    throw;
  }
}

}  // namespace

TensorReader::TensorReader(const File& file) {
  for (std::size_t i = 0; i < file.parts(); ++i) {
    const File& part = file.part(i);
    parts_.push_back(open(part.path()));
    parts_.back()->require(part.identity());
  }
}

void TensorReader::read(const TensorInfo& tensor, std::uint64_t offset, std::span<std::byte> out) const {
  parts_[tensor.part]->read(tensor.offset + offset, out);
}

std::vector<std::byte> TensorReader::read(const TensorInfo& tensor) const {
  std::vector<std::byte> bytes(tensor.size_bytes);
  read(tensor, 0, bytes);
  return bytes;
}

void TensorReader::fetch(const TensorInfo& tensor, std::uint64_t offset, std::uint64_t bytes) const {
  if (offset >= tensor.size_bytes) return;
  parts_[tensor.part]->fetch(tensor.offset + offset, std::min(bytes, tensor.size_bytes - offset));
}

void TensorReader::require_unchanged() const {
  for (const auto& part : parts_) part->require_unchanged();
}

}  // namespace engine::gguf
