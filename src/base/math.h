// Integer arithmetic of layouts and partitions, for numbers >= 0 whose results fit.
#pragma once

#include <concepts>
#include <type_traits>

namespace facet {

// n / by, rounded up.
template <std::integral T>
constexpr T DivideUp(T n, std::type_identity_t<T> by) {
  return (n + by - 1) / by;
}

// The smallest multiple of `step` that is not below n.
template <std::integral T>
constexpr T AlignUp(T n, std::type_identity_t<T> step) {
  return DivideUp(n, step) * step;
}

}  // namespace facet
