#include "base/thread_team.h"

#include <pybind11/pybind11.h>

#include <atomic>
#include <vector>

#include "bindings/register.h"

namespace engine::bindings::tests {
namespace {

namespace py = pybind11;

// How often a member left a barrier that another had not come to, in so many rounds.
std::size_t overtakings(unsigned members, unsigned spin_us, std::size_t rounds) {
  ThreadTeam team(members, std::chrono::microseconds(spin_us));
  std::vector<std::atomic<std::size_t>> come(members);
  std::atomic<std::size_t> found{0};
  team.run([&](unsigned member) {
    for (std::size_t round = 1; round <= rounds; ++round) {
      come[member].store(round, std::memory_order_relaxed);
      team.barrier();
      for (const auto& other : come) found += other.load(std::memory_order_relaxed) < round ? 1 : 0;
      team.barrier();
    }
  });
  return found;
}

}  // namespace

void register_thread_team(py::module_& m) {
  m.def("overtakings", &overtakings, py::arg("members"), py::kw_only(), py::arg("spin_us"), py::arg("rounds"),
        py::call_guard<py::gil_scoped_release>());
}

}  // namespace engine::bindings::tests
