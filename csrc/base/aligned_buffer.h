#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace engine {

// Zero-filled anonymous memory, page aligned; large ones ask for huge pages and begin on one. Given back to the system
// on destruction.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  // Throws std::bad_alloc.
  explicit AlignedBuffer(std::size_t bytes);
  AlignedBuffer(AlignedBuffer&& other) noexcept;
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept;
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  ~AlignedBuffer();

  // Gives back what lies beyond the first `bytes`, at most size(). What stays keeps its address.
  void shrink(std::size_t bytes);

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::span<std::byte> bytes() { return {data_, size_}; }

  template <typename T>
  T* as(std::size_t byte_offset = 0) {
    return reinterpret_cast<T*>(data_ + byte_offset);
  }
  template <typename T>
  const T* as(std::size_t byte_offset = 0) const {
    return reinterpret_cast<const T*>(data_ + byte_offset);
  }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace engine
