// Functions of sixteen lanes, the same bits on every instruction set.
#pragma once

namespace facet::simd {

// Adding 1.5 * 2^23 rounds a small float to an integer, which then stands in the low bits.
constexpr float kRoundMagic = 12582912.0f;

// e^x within 2 ulp; 0 below -87, clamped above 88.
template <typename V>
typename V::F Exp(typename V::F x) {
  const auto clamped = V::Min(V::Max(x, V::Set(-87.0f)), V::Set(88.0f));
  const auto shifted = V::Fma(clamped, V::Set(1.44269504f), V::Set(kRoundMagic));
  const auto n = V::Sub(shifted, V::Set(kRoundMagic));
  // ln 2 in two parts: n times the first is exact.
  auto r = V::Fma(n, V::Set(-0.693359375f), clamped);
  r = V::Fma(n, V::Set(2.12194440e-4f), r);
  auto p = V::Set(1.9875691500e-4f);
  p = V::Fma(p, r, V::Set(1.3981999507e-3f));
  p = V::Fma(p, r, V::Set(8.3334519073e-3f));
  p = V::Fma(p, r, V::Set(4.1665795894e-2f));
  p = V::Fma(p, r, V::Set(1.6666665459e-1f));
  p = V::Fma(p, r, V::Set(5.0000001201e-1f));
  p = V::Fma(p, V::Mul(r, r), r);
  p = V::Add(p, V::Set(1.0f));
  return V::SelectLess(x, V::Set(-87.0f), V::Set(0.0f), V::ScaleByPowerOfTwo(p, shifted));
}

// tanh x within a few ulp: a series near 0, where the exponential form would cancel.
template <typename V>
typename V::F Tanh(typename V::F x) {
  const auto one = V::Set(1.0f);
  const auto e = Exp<V>(V::Add(x, x));
  const auto far = V::Sub(one, V::Div(V::Set(2.0f), V::Add(e, one)));
  const auto s = V::Mul(x, x);
  auto p = V::Set(62.0f / 2835.0f);
  p = V::Fma(p, s, V::Set(-17.0f / 315.0f));
  p = V::Fma(p, s, V::Set(2.0f / 15.0f));
  p = V::Fma(p, s, V::Set(-1.0f / 3.0f));
  const auto near = V::Fma(V::Mul(p, s), x, x);
  return V::SelectLess(V::Abs(x), V::Set(0.25f), near, far);
}

}  // namespace facet::simd
