#include "kernels/kernel_table.h"

#include <algorithm>
#include <array>

#include "kernels/avx2/table.h"
#include "kernels/avx512/table.h"
#include "kernels/avx_vnni/table.h"
#include "kernels/reference/table.h"

namespace engine::kernels {

std::span<const KernelTable* const> kernel_tables() {
  static const std::array<const KernelTable*, 4> tables{&avx512::table(), &avx_vnni::table(), &avx2::table(),
                                                        &reference::table()};
  return tables;
}

const KernelTable* find_kernel_table(std::string_view name) {
  const auto tables = kernel_tables();
  const auto found = std::ranges::find(tables, name, [](const KernelTable* table) { return table->name; });
  return found == tables.end() ? nullptr : *found;
}

}  // namespace engine::kernels
