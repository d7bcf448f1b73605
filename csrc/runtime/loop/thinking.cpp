#include "runtime/loop/thinking.h"

namespace engine::runtime {

void Thinking::follow(std::int32_t token, std::string_view piece) {
  if (inside_) {
    inside_ = token != options_.end;
    tokens_ += inside_ ? 1 : 0;
    return;
  }
  inside_ = may_begin_ && token == options_.begin;
  // White space may come before it, and nothing else; there is no second one.
  may_begin_ = may_begin_ && !inside_ && piece.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

}  // namespace engine::runtime
