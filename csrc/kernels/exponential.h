#pragma once

// exp(x), the one formula of every kernel table: exp(x) = 2^n * exp(b), n = round(x / ln 2), |b| <= ln(2) / 2.
// exp(b) is a polynomial of degree 6 fitted to exp on that interval (Chebyshev nodes, coefficients rounded to float);
// relative error below 1.2 * 2^-24. Below kLow the result is 0; above kHigh x counts as kHigh; NaN stays NaN.
namespace engine::kernels::exponential {

inline constexpr float kLow = -87.0F;
inline constexpr float kHigh = 88.0F;
inline constexpr float kLog2E = 0x1.715476p+0F;
inline constexpr float kRound = 0x1.8p+23F;  // adding and taking it away rounds to an integer, ties to even
// The rounding shift for x / ln 2, which is never halfway between two integers n. The low bits of the sum are n + 127:
// moved into the exponent field they are 2^n, by which multiplying is exact.
inline constexpr float kExponentRound = 0x1.8000FEp+23F;
inline constexpr float kLn2High = 0x1.62e4p-1F;
inline constexpr float kLn2Low = 0x1.7f7d1cp-20F;
inline constexpr float kC2 = 0.5F;
inline constexpr float kC3 = 0x1.5554dcp-3F;
inline constexpr float kC4 = 0x1.5554e8p-5F;
inline constexpr float kC5 = 0x1.120ba6p-7F;
inline constexpr float kC6 = 0x1.6d4366p-10F;

// Factors in GELU(x) = x / (1 + exp(-x * (kGeluLinear + kGeluCubic * x^2))), which is 0.5 * x * (1 + tanh(y)) with
// y = sqrt(2 / pi) * (x + 0.044715 * x^3): twice the factors of y.
inline constexpr float kGeluLinear = 0x1.988454p+0F;
inline constexpr float kGeluCubic = 0x1.2444f2p-4F;

// The clamped SiLU: x / (1 + exp(-kClampedSiluSlope * x)) with x no larger than kSiluClamp.
inline constexpr float kClampedSiluSlope = 1.702F;
inline constexpr float kSiluClamp = 7.0F;

}  // namespace engine::kernels::exponential
