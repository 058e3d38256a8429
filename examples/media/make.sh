#!/usr/bin/env bash
# Makes the demo's picture, spoken sentence and film (all are committed, so that the demo needs none of these programs).
# Needs espeak-ng and ffmpeg.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A red house with a yellow door and two windows on a green field, under a blue sky with a sun.
ffmpeg -y -loglevel error -f lavfi -i "color=c=#87b8e8:size=640x480" -frames:v 1 -vf "\
format=rgb24,drawbox=0:320:640:160:#4f9a3c:fill,\
geq=r='if(lt(hypot(X-540\,Y-80)\,45)\,250\,r(X\,Y))':g='if(lt(hypot(X-540\,Y-80)\,45)\,220\,g(X\,Y))':b='if(lt(hypot(X-540\,Y-80)\,45)\,70\,b(X\,Y))',\
drawbox=200:200:240:180:#b83a2e:fill,\
geq=r='if(between(Y\,120\,199)*lt(abs(X-320)\,(Y-120)*1.75)\,96\,r(X\,Y))':g='if(between(Y\,120\,199)*lt(abs(X-320)\,(Y-120)*1.75)\,62\,g(X\,Y))':b='if(between(Y\,120\,199)*lt(abs(X-320)\,(Y-120)*1.75)\,50\,b(X\,Y))',\
drawbox=295:290:50:90:#f0c830:fill,drawbox=225:230:50:50:#e8f4ff:fill,drawbox=365:230:50:50:#e8f4ff:fill" \
  -update 1 house.png

# A sentence, mono at 16 kHz.
espeak-ng -v en-us -s 150 -w "$work/sentence.wav" "The red house stands on a green field."
ffmpeg -y -loglevel error -i "$work/sentence.wav" -ar 16000 -ac 1 -bitexact sentence.wav

# Six seconds of a red square that crosses the picture, and a voice that says so.
espeak-ng -v en-us -s 150 -w "$work/voice.wav" "A red square moves from the left to the right."
ffmpeg -y -loglevel error -f lavfi -i "color=c=#20304a:size=320x192:rate=10:duration=6" \
  -f lavfi -i "color=c=#e03020:size=48x48:rate=10:duration=6" -i "$work/voice.wav" -filter_complex "\
[0][1]overlay=x='t*44':y=72:shortest=1[moving];[2]apad=whole_dur=6[sound]" \
  -map "[moving]" -map "[sound]" -t 6 -c:v libx264 -crf 24 -pix_fmt yuv420p -c:a aac -b:a 48k -ar 16000 -ac 1 \
  -fflags +bitexact -map_metadata -1 -movflags +faststart square.mp4
