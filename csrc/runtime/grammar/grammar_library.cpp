#include "runtime/grammar/grammar_library.h"

#include <dlfcn.h>

#include <string_view>

namespace engine::runtime {
namespace {

template <typename Function>
void find(void* library, const char* name, Function& function) {
  void* found = dlsym(library, name);
  if (found == nullptr) throw GrammarLibraryUnavailable(std::string("llguidance lacks the function ") + name);
  function = reinterpret_cast<Function>(found);
}

// "llguidance@1.9.1 derivre@0.3.8"
void check_version(std::string_view tells) {
  const std::string wanted = std::string("llguidance@") + kGrammarLibraryVersion;
  if (tells.substr(0, tells.find(' ')) != wanted) {
    throw GrammarLibraryUnavailable("the library is " + std::string(tells) + ", and " + wanted + " is needed");
  }
}

}  // namespace

GrammarLibrary::GrammarLibrary(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    throw GrammarLibraryUnavailable(reason == nullptr ? path + " cannot be loaded" : reason);
  }
  const char* (*get_version)() = nullptr;
  find(library, "llg_get_version", get_version);
  check_version(get_version());
  find(library, "llg_new_tokenizer_v2", new_tokenizer);
  find(library, "llg_free_tokenizer", free_tokenizer);
  find(library, "llg_constraint_init_set_defaults", set_defaults);
  find(library, "llg_new_matcher", new_matcher);
  find(library, "llg_clone_matcher", clone_matcher);
  find(library, "llg_free_matcher", free_matcher);
  find(library, "llg_matcher_get_error", get_error);
  find(library, "llg_matcher_get_mask_byte_size", get_mask_byte_size);
  find(library, "llg_matcher_compute_mask_into", compute_mask_into);
  find(library, "llg_matcher_consume_token", consume_token);
  find(library, "llg_matcher_is_stopped", is_stopped);
}

}  // namespace engine::runtime
