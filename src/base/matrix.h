// Views of row-major matrices. A view does not own; its shape is checked in debug builds.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

namespace facet {

// (rows, cols), rows `stride` elements apart.
template <typename T>
class MatrixView {
 public:
  MatrixView() = default;
  MatrixView(T* data, int64_t rows, int64_t cols) : MatrixView(data, rows, cols, cols) {}
  MatrixView(T* data, int64_t rows, int64_t cols, int64_t stride)
      : data_(data), rows_(rows), cols_(cols), stride_(stride) {}
  // A view of const elements from one of mutable ones.
  template <typename U>
  requires std::is_same_v<const U, T> MatrixView(const MatrixView<U>& other)
      : MatrixView(other.data(), other.rows(), other.cols(), other.stride()) {}

  T* data() const { return data_; }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  int64_t stride() const { return stride_; }

  T* row(int64_t r) const {
    assert(r >= 0 && r < rows_);
    return data_ + r * stride_;
  }
  std::span<T> row_span(int64_t r) const { return {row(r), static_cast<size_t>(cols_)}; }
  T& operator()(int64_t r, int64_t c) const {
    assert(c >= 0 && c < cols_);
    return row(r)[c];
  }
  // Rows [begin, begin + count).
  MatrixView rows_at(int64_t begin, int64_t count) const {
    assert(begin >= 0 && begin + count <= rows_);
    return {data_ + begin * stride_, count, cols_, stride_};
  }
  // Columns [begin, begin + count) of every row.
  MatrixView cols_at(int64_t begin, int64_t count) const {
    assert(begin >= 0 && begin + count <= cols_);
    return {data_ + begin, rows_, count, stride_};
  }

 private:
  T* data_ = nullptr;
  int64_t rows_ = 0, cols_ = 0, stride_ = 0;
};

using Mat = MatrixView<float>;
using ConstMat = MatrixView<const float>;

// A matrix that owns its elements and keeps its memory when it shrinks.
class Buffer {
 public:
  Buffer() = default;
  Buffer(int64_t rows, int64_t cols) { Resize(rows, cols); }

  Mat Resize(int64_t rows, int64_t cols) {
    rows_ = rows;
    cols_ = cols;
    if (static_cast<size_t>(rows * cols) > data_.size()) data_.resize(rows * cols);
    return view();
  }
  Mat view() { return {data_.data(), rows_, cols_}; }
  ConstMat view() const { return {data_.data(), rows_, cols_}; }
  operator Mat() { return view(); }
  operator ConstMat() const { return view(); }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }

 private:
  std::vector<float> data_;
  int64_t rows_ = 0, cols_ = 0;
};

}  // namespace facet
