#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace engine::gguf {

// The file is not a well-formed GGUF. The message names the field, key or tensor.
class MalformedFile : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The file is not, or is no longer, what it was when it was first read.
class ChangedFile : public MalformedFile {
 public:
  explicit ChangedFile(const std::string& path) : MalformedFile(path + " changed while it was read") {}
};

// A name from a file, for a message: in quotes, cut to 80 bytes, its control characters written out.
std::string quoted(std::string_view name);

}  // namespace engine::gguf

namespace engine {

// The file is well-formed; this engine lacks its architecture, a tensor type, a shape or its tokenizer.
class UnsupportedModel : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace engine
