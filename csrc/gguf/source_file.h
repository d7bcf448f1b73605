#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "gguf/file_identity.h"

namespace engine::gguf {

// A regular file that is read and never mapped: one that is cut, overwritten or lost meanwhile is an error of the call
// that reads it, and no signal. Thread-safe.
class SourceFile {
 public:
  // Throws std::system_error where the file cannot be opened, MalformedFile where it is empty or no regular file.
  explicit SourceFile(const std::string& path);
  ~SourceFile();
  SourceFile(const SourceFile&) = delete;
  SourceFile& operator=(const SourceFile&) = delete;

  const std::string& path() const { return path_; }
  // The file's identity when it was opened.
  const FileIdentity& identity() const { return identity_; }

  // Fills `out` from `offset` on. Throws ChangedFile where the file ends before, MalformedFile where it cannot be read.
  void read(std::uint64_t offset, std::span<std::byte> out) const;
  // Has the system fetch what is read next. Advice only.
  void fetch(std::uint64_t offset, std::uint64_t bytes) const;
  // Throws ChangedFile unless the file is as it was when it was opened: what was read before is then of one state.
  void require_unchanged() const;
  // Throws ChangedFile unless it was in that state when it was opened.
  void require(const FileIdentity& expected) const;

 private:
  std::string path_;
  int fd_;
  FileIdentity identity_;
};

}  // namespace engine::gguf
