#include "base/aligned_buffer.h"

#include <sys/mman.h>

#include <new>
#include <utility>

#include "base/checked.h"

namespace engine {
namespace {

constexpr std::uintptr_t kHugePage = std::uintptr_t{2} << 20;

constexpr std::size_t kPage = 4096;

std::byte* map(std::size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return static_cast<std::byte*>(memory);
}

void unmap(std::byte* begin, const std::byte* end) {
  if (begin != end) munmap(begin, static_cast<std::size_t>(end - begin));
}

// Only whole huge pages within a mapping become ones: what lies before the first of them would stay in small pages.
std::byte* map_on_huge_page(std::size_t bytes) {
  const auto reserved = checked_add(bytes, std::size_t{kHugePage});
  if (!reserved) throw std::bad_alloc();
  std::byte* begin = map(*reserved);
  std::byte* data =
      begin + (round_up(reinterpret_cast<std::uintptr_t>(begin), kHugePage) - reinterpret_cast<std::uintptr_t>(begin));
  unmap(begin, data);
  unmap(data + round_up(bytes, kPage), begin + round_up(*reserved, kPage));
  // Advice only: a system without huge pages loses speed and nothing else.
  madvise(data, bytes, MADV_HUGEPAGE);
  return data;
}

}  // namespace

// A smaller buffer cannot fill a huge page.
AlignedBuffer::AlignedBuffer(std::size_t bytes) : size_(bytes) {
  if (bytes != 0) data_ = bytes < kHugePage ? map(bytes) : map_on_huge_page(bytes);
}

AlignedBuffer::AlignedBuffer(AlignedBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

AlignedBuffer& AlignedBuffer::operator=(AlignedBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void AlignedBuffer::shrink(std::size_t bytes) {
  unmap(data_ + round_up(bytes, kPage), data_ + round_up(size_, kPage));
  if (bytes == 0) data_ = nullptr;
  size_ = bytes;
}

AlignedBuffer::~AlignedBuffer() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace engine
