// HEIC and AVIF, the pictures of phones, by libheif.
#include <libheif/heif.h>

#include <algorithm>
#include <exception>
#include <memory>

#include "media/still.h"

namespace facet::media {
namespace {

struct HeifFree {
  void operator()(heif_context* context) const { heif_context_free(context); }
  void operator()(heif_image_handle* handle) const { heif_image_handle_release(handle); }
  void operator()(heif_image* image) const { heif_image_release(image); }
};

// The first picture of a file; the bytes must outlive it.
struct HeifPicture {
  std::unique_ptr<heif_context, HeifFree> context;
  std::unique_ptr<heif_image_handle, HeifFree> handle;
  PictureSize size;
  bool alpha = false;
};

Error HeifError(const heif_error& error) {
  const bool unsupported = error.code == heif_error_Unsupported_filetype ||
                           error.code == heif_error_Unsupported_feature ||
                           error.code == heif_error_Plugin_loading_error;
  return {Cat(unsupported ? "unsupported" : "damaged", " HEIC or AVIF: ", error.message),
          unsupported ? ErrorKind::kUnsupported : ErrorKind::kInvalid};
}

Result<HeifPicture> OpenHeif(Bytes bytes, const Limits& limits) {
  HeifPicture picture;
  picture.context.reset(heif_context_alloc());
  if (!picture.context) return Error{"no memory for a HEIC decoder", ErrorKind::kResource};
  heif_context* const context = picture.context.get();
  constexpr int64_t kLongestSide = 32768;  // what HEIF's own limit counts
  heif_context_set_maximum_image_size_limit(
      context, static_cast<int>(std::clamp<int64_t>(limits.max_pixels, 1, kLongestSide)));
  heif_context_set_max_decoding_threads(context, 0);  // on this one
  heif_error error =
      heif_context_read_from_memory_without_copy(context, bytes.data(), bytes.size(), nullptr);
  if (error.code != heif_error_Ok) return HeifError(error);
  heif_image_handle* handle = nullptr;
  error = heif_context_get_primary_image_handle(context, &handle);
  picture.handle.reset(handle);
  if (error.code != heif_error_Ok) return HeifError(error);
  picture.size = {heif_image_handle_get_width(handle), heif_image_handle_get_height(handle)};
  picture.alpha = heif_image_handle_has_alpha_channel(handle) != 0;
  FACET_TRY(CheckSize(picture.size.width, picture.size.height, limits, "HEIC or AVIF"));
  // A grid of tiles says its size once more when it is decoded.
  heif_context_set_maximum_image_size_limit(context,
                                            std::max(picture.size.width, picture.size.height));
  return picture;
}

Result<Picture> DecodeOpened(const HeifPicture& heif, Transparency transparency) {
  heif_image* decoded = nullptr;
  const heif_error error = heif_decode_image(
      heif.handle.get(), &decoded, heif_colorspace_RGB,
      heif.alpha ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB, nullptr);
  const std::unique_ptr<heif_image, HeifFree> image(decoded);
  if (error.code != heif_error_Ok) return HeifError(error);
  const int width = heif_image_get_width(decoded, heif_channel_interleaved);
  const int height = heif_image_get_height(decoded, heif_channel_interleaved);
  int stride = 0;
  const uint8_t* plane = heif_image_get_plane_readonly(decoded, heif_channel_interleaved, &stride);
  if (plane == nullptr || width != heif.size.width || height != heif.size.height) {
    return Expected(Cat(heif.size.width, "x", heif.size.height, " pixels, as its header says,"),
                    Cat(width, "x", height), "HEIC or AVIF");
  }
  Picture picture{width, height, std::vector<uint8_t>(size_t(width) * height * 3)};
  for (int y = 0; y < height; ++y) {
    const uint8_t* row = plane + size_t(y) * stride;
    uint8_t* to = picture.rgb.data() + size_t(y) * width * 3;
    if (heif.alpha) {
      DropAlpha(row, to, width, transparency);
    } else {
      std::copy_n(row, size_t(width) * 3, to);
    }
  }
  return picture;
}

// libheif is C++ behind its C interface, and lets some exceptions through.
template <typename F>
auto Guarded(F read) -> decltype(read()) {
  try {
    return read();
  } catch (const std::exception& problem) {
    return Error{Cat("damaged HEIC or AVIF: ", problem.what())};
  }
}

}  // namespace

Result<PictureSize> HeifSize(Bytes bytes, const Limits& limits) {
  return Guarded([&]() -> Result<PictureSize> {
    FACET_ASSIGN(const HeifPicture picture, OpenHeif(bytes, limits));
    return picture.size;
  });
}

Result<Picture> DecodeHeif(Bytes bytes, const Limits& limits, DecodeBudget& budget) {
  return Guarded([&]() -> Result<Picture> {
    FACET_ASSIGN(const HeifPicture picture, OpenHeif(bytes, limits));
    FACET_TRY(budget.SpendPixels(int64_t{picture.size.width} * picture.size.height));
    return DecodeOpened(picture, limits.transparency);
  });
}

}  // namespace facet::media
