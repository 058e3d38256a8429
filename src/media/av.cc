#include "media/av.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>

#include "media/still.h"

extern "C" {
#include <libavutil/avstring.h>
#include <libavutil/log.h>
#include <libavutil/mem.h>
#include <libavutil/opt.h>
}

namespace facet::media {
namespace {

constexpr int kIoBuffer = 1 << 16;
constexpr size_t kLargestAllocation = size_t{768} << 20;
constexpr int kMostStreams = 64;

// Decoders by name; a container that holds anything else is told so.
constexpr const char* kDecoders =
    "pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_u8,pcm_s8,pcm_f32le,pcm_f32be,"
    "pcm_f64le,pcm_f64be,pcm_alaw,pcm_mulaw,adpcm_ms,adpcm_ima_wav,adpcm_ima_qt,"
    "mp3float,mp3,mp2float,mp2,flac,vorbis,libopus,opus,aac,alac,ac3,eac3,amrnb,amrwb,"
    "h264,hevc,vp8,vp9,libdav1d,av1,mpeg4,mpeg2video,mpeg1video,h263,mjpeg,theora,prores,dnxhd,"
    "ffv1,huffyuv,ffvhuff,utvideo,png,rawvideo,qtrle,gif,bmp,tiff";

void SetUpOnce() {
  static std::once_flag once;
  std::call_once(once, [] {
    av_log_set_level(AV_LOG_QUIET);
    av_max_alloc(kLargestAllocation);  // an index of 2^32 samples is refused, not built
  });
}

// FFmpeg asks here for every further file that a container names.
int RefuseToOpen(AVFormatContext*, AVIOContext** io, const char*, int, AVDictionary**) {
  *io = nullptr;
  return AVERROR(EPERM);
}

Error Unfinished(const Format& format, std::string_view lacks) {
  return {Cat("the ", format.name, " file has no ", lacks,
              ": its recording or its download did not come to its end; save or fetch it again")};
}

}  // namespace

std::string AvErrorText(int code) {
  char text[AV_ERROR_MAX_STRING_SIZE] = "";
  av_strerror(code, text, sizeof text);
  return text;
}

Result<CodecPtr> OpenDecoder(AVCodecID id, const AVCodecParameters* parameters,
                             const Limits& limits) {
  SetUpOnce();
  const AVCodec* decoder = nullptr;
  // The format's own library, which soundfile uses too; FFmpeg's decoder agrees with it to 20 dB
  // only in places.
  if (id == AV_CODEC_ID_OPUS) decoder = avcodec_find_decoder_by_name("libopus");
  if (!decoder) decoder = avcodec_find_decoder(id);
  const std::string name = decoder ? decoder->name : avcodec_get_name(id);
  if (!decoder || av_match_list(name.c_str(), kDecoders, ',') <= 0) {
    return Error{Cat("codec ", avcodec_get_name(id), " is not supported"), ErrorKind::kUnsupported};
  }
  CodecPtr codec(avcodec_alloc_context3(decoder));
  if (!codec) return Error{"no memory for a decoder", ErrorKind::kResource};
  if (parameters && avcodec_parameters_to_context(codec.get(), parameters) < 0) {
    return Error{Cat("damaged codec parameters (", name, ")")};
  }
  codec->thread_count = 1;
  codec->request_sample_fmt = AV_SAMPLE_FMT_FLT;
  codec->max_pixels = limits.max_pixels;
  if (const int code = avcodec_open2(codec.get(), decoder, nullptr); code < 0) {
    return Error{Cat("decoder ", name, " refuses the stream: ", AvErrorText(code))};
  }
  return codec;
}

int AvFile::OnRead(void* self, uint8_t* to, int count) {
  auto* file = static_cast<AvFile*>(self);
  const size_t left = file->bytes_.size() - file->at_;
  if (left == 0) return AVERROR_EOF;
  const size_t taken = std::min<size_t>(left, count);
  std::memcpy(to, file->bytes_.data() + file->at_, taken);
  file->at_ += taken;
  return static_cast<int>(taken);
}

int64_t AvFile::OnSeek(void* self, int64_t offset, int whence) {
  auto* file = static_cast<AvFile*>(self);
  const int64_t size = static_cast<int64_t>(file->bytes_.size());
  int64_t base = 0;
  switch (whence & ~AVSEEK_FORCE) {
    case AVSEEK_SIZE:
      return size;
    case SEEK_SET:
      break;
    case SEEK_CUR:
      base = static_cast<int64_t>(file->at_);
      break;
    case SEEK_END:
      base = size;
      break;
    default:
      return AVERROR(EINVAL);
  }
  if (offset < -base || offset > size - base) return AVERROR(EINVAL);
  file->at_ = static_cast<size_t>(base + offset);
  return base + offset;
}

int AvFile::OnInterrupt(void* self) {
  return static_cast<AvFile*>(self)->budget_->Exhausted() ? 1 : 0;
}

Result<std::unique_ptr<AvFile>> AvFile::Open(Bytes bytes, const Limits& limits,
                                             const DecodeBudget& budget) {
  SetUpOnce();
  const Format format = SniffFormat(bytes);
  if (!format.demuxer) {
    return Error{
        Cat("expected WAV, AIFF, MP3, AAC, FLAC, Ogg, M4A, MP4, MOV, Matroska, WebM or GIF "
            "but got ",
            DescribeFormat(bytes)),
        ErrorKind::kUnsupported};
  }
  if (std::string_view(format.demuxer) == "matroska" && LacksClusters(bytes))
    return Unfinished(format, "content behind its header");
  std::unique_ptr<AvFile> file(new AvFile);
  file->bytes_ = bytes.subspan(format.skip);
  file->format_ = format;
  file->budget_ = &budget;
  auto* buffer = static_cast<uint8_t*>(av_malloc(kIoBuffer));
  file->io_ = buffer ? avio_alloc_context(buffer, kIoBuffer, 0, file.get(), OnRead, nullptr, OnSeek)
                     : nullptr;
  file->context_ = avformat_alloc_context();
  if (!file->io_ || !file->context_) return Error{"no memory for a demuxer", ErrorKind::kResource};
  AVFormatContext* context = file->context_;
  context->pb = file->io_;
  context->flags |= AVFMT_FLAG_CUSTOM_IO;
  context->io_open = RefuseToOpen;
  context->interrupt_callback = {OnInterrupt, file.get()};
  context->max_streams = kMostStreams;
  // FFmpeg looks whether PCM of a WAV is another format in disguise. One packet is enough to look
  // at: with all of them it takes longer than decoding a short recording.
  if (format.kind == Kind::kSound) context->max_probe_packets = 1;
  context->protocol_whitelist = av_strdup("");
  context->codec_whitelist = av_strdup(kDecoders);
  // On failure avformat_open_input frees the context.
  if (const int code =
          avformat_open_input(&file->context_, "", av_find_input_format(format.demuxer), nullptr);
      code < 0) {
    FACET_TRY(budget.Check());
    if (LacksIndex(file->bytes_)) return Unfinished(format, "index (moov)");
    return Error{Cat("damaged ", format.name, ": ", AvErrorText(code))};
  }
  context = file->context_;
  // The probe decodes too: it gets the same limits.
  std::vector<AVDictionary*> options(context->nb_streams, nullptr);
  for (AVDictionary*& entry : options) {
    av_dict_set_int(&entry, "max_pixels", limits.max_pixels, 0);
    av_dict_set_int(&entry, "threads", 1, 0);
  }
  const int code = avformat_find_stream_info(context, options.empty() ? nullptr : options.data());
  for (AVDictionary*& entry : options) av_dict_free(&entry);
  FACET_TRY(budget.Check());
  if (code < 0) return Error{Cat("damaged ", format.name, ": ", AvErrorText(code))};
  return file;
}

AvFile::~AvFile() {
  if (context_) avformat_close_input(&context_);
  if (io_) {
    av_freep(&io_->buffer);
    avio_context_free(&io_);
  }
}

AVStream* AvFile::FirstStream(AVMediaType type) const {
  for (unsigned i = 0; i < context_->nb_streams; ++i) {
    AVStream* stream = context_->streams[i];
    if (stream->codecpar->codec_type == type &&
        !(stream->disposition & AV_DISPOSITION_ATTACHED_PIC)) {
      return stream;
    }
  }
  return nullptr;
}

Result<bool> AvFile::Read(AVPacket* packet) {
  const bool read = av_read_frame(context_, packet) >= 0;
  FACET_TRY(budget_->Check());
  return read;
}

}  // namespace facet::media
