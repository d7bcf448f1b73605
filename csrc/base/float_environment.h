#pragma once

#include <xmmintrin.h>

namespace engine {

// The float environment of inference: round to nearest, subnormals flushed and read as zero, no traps.
// Set on entry to a job and restored after it, so that a host process's own setting changes no bit of a result.
class InferenceFloatEnvironment {
 public:
  InferenceFloatEnvironment() : saved_(_mm_getcsr()) { _mm_setcsr(kFlushToZero | kDenormalsAreZero | kMaskAllTraps); }
  ~InferenceFloatEnvironment() { _mm_setcsr(saved_); }
  InferenceFloatEnvironment(const InferenceFloatEnvironment&) = delete;
  InferenceFloatEnvironment& operator=(const InferenceFloatEnvironment&) = delete;

 private:
  static constexpr unsigned kFlushToZero = 0x8000;
  static constexpr unsigned kDenormalsAreZero = 0x0040;
  static constexpr unsigned kMaskAllTraps = 0x1F80;
  unsigned saved_;
};

// The float environment of quantization: round to nearest, subnormals kept, no traps, whatever the host process has
// set.
class KeptSubnormals {
 public:
  KeptSubnormals() : saved_(_mm_getcsr()) { _mm_setcsr(kMaskAllTraps); }
  ~KeptSubnormals() { _mm_setcsr(saved_); }
  KeptSubnormals(const KeptSubnormals&) = delete;
  KeptSubnormals& operator=(const KeptSubnormals&) = delete;

 private:
  static constexpr unsigned kMaskAllTraps = 0x1F80;
  unsigned saved_;
};

}  // namespace engine
