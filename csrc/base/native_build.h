#pragma once

#include <string_view>

namespace engine {

// What the extension was compiled from, and how. Defined in a unit that the build writes: csrc/native_build.cmake.
struct NativeBuild {
  std::string_view sources;   // SHA-256 of their names and contents, hexadecimal
  std::string_view compiler;  // name and version
  std::string_view flags;     // those of the whole extension; each unit's own are in the sources
};

extern const NativeBuild kNativeBuild;

}  // namespace engine
