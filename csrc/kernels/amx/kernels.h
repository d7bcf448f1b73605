#pragma once

#include "kernels/kernel_table.h"

// Products on AMX tiles, beside the kernels of AVX-512. The system must have let the process use tiles.
namespace engine::kernels::amx {

Multiply multiply;
// See KernelTable::split_codes.
void split_codes(const QuantizedRow& row, std::size_t columns, std::int8_t* planes);
std::uint64_t multiply_bytes();

}  // namespace engine::kernels::amx
