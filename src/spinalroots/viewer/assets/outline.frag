#version 300 es
// A slice: the scan, labels in their colours, and their outline as wide as asked for in pixels of
// the screen, however thin a root is. Names of the uniforms are NiiVue's, which looks for one a line.
precision highp int;
precision highp float;
uniform highp sampler3D volume;
uniform highp sampler3D overlay;
uniform highp sampler3D drawing;
uniform highp sampler2D colormap;
uniform float overlays;
uniform float overlayOutlineWidth;
uniform float overlayAlphaShader;
uniform float drawOpacity;
in vec3 texPos;
out vec4 color;

// Colour of the voxel at a place, a drawn one before one of the map; alpha 0 where there is none.
vec4 labelAt(vec3 place) {
  ivec3 size = textureSize(overlay, 0);
  ivec3 voxel = clamp(ivec3(floor(place * vec3(size))), ivec3(0), size - 1);
  if (drawOpacity > 0.0) {
    float drawn = texture(drawing, (vec3(voxel) + 0.5) / vec3(size)).r;
    if (drawn > 0.0) {
      float rows = float(textureSize(colormap, 0).y);
      vec2 place = vec2((drawn * 255.0 + 0.5) / 256.0, (rows - 0.5) / rows);
      vec4 pen = texture(colormap, place);
      if (pen.a > 0.0) return vec4(pen.rgb, 1.0);
    }
  }
  if (overlays < 1.0) return vec4(0.0);
  vec4 found = texelFetch(overlay, voxel, 0);
  return found.a > 0.0 ? vec4(found.rgb, 1.0) : vec4(0.0);
}

void main() {
  vec3 right = dFdx(texPos) * overlayOutlineWidth;
  vec3 up = dFdy(texPos) * overlayOutlineWidth;
  vec3 grey = texture(volume, texPos).rgb;
  vec4 here = labelAt(texPos);
  float strength = here.a * overlayAlphaShader;
  if (here.a > 0.0 && overlayOutlineWidth > 0.0) {
    for (int i = 0; i < 8; i++) {
      float angle = 0.785398 * float(i);
      vec4 other = labelAt(texPos + cos(angle) * right + sin(angle) * up);
      if (distance(other, here) > 0.01) strength = 1.0;
    }
  }
  color = vec4(mix(grey, here.rgb, strength), 1.0);
}
