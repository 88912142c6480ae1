"""Shaders in GLSL 3.30. Red is luminance; alpha is the share of light that a cast shadow leaves.

Light is computed per vertex for matte surfaces, and per pixel for car paint and glass. Everything fades with
distance into the luminance of the horizon, so that nothing appears suddenly at the visibility limit. `NIGHT`
adds the nearest street lamps and the ego vehicle's headlights.
"""

MAX_LAMPS = 8
"""Number of street lamps that light a frame at night."""

_HEAD = """
#version 330
uniform mat4 VP; uniform mat4 M; uniform vec3 eye; uniform vec3 sun;
uniform float sun_light; uniform float ambient; uniform float haze; uniform float density;
uniform float reach; uniform float lit; uniform float tint;
in vec3 point; in vec3 normal; in vec2 uv; in vec4 paint;
float clearness(float d) {
  float edge = clamp((reach - d) / (0.35 * reach), 0., 1.);
  return exp(-density * d) * edge * edge * (3. - 2. * edge);
}
"""

_NIGHT = (
    f"uniform vec4 lamps[{MAX_LAMPS}]; "
    """uniform vec3 beam; uniform float beam_light;
float lamp_light(vec3 w, vec3 N) {
  float sum = 0.;
"""
    f"  for (int k = 0; k < {MAX_LAMPS}; k++) {{"
    """
    vec3 to = lamps[k].xyz - w; float square = dot(to, to) + 1.;
    sum += lamps[k].w / square * max(dot(N, to) * inversesqrt(square), 0.1);
  }
  return sum;
}
float beam_at(vec3 w, vec3 N, vec3 eye) {
  vec3 from = w - eye + vec3(0., 0., 0.6); float d = length(from); vec3 along = from / d;
  float cone = clamp((dot(along, beam) - 0.86) / 0.12, 0., 1.);
  return beam_light * cone * cone * max(-dot(along, N), 0.08) / (1. + d * d / 80.);
}
"""
)

_LIGHT = """
float light_on(vec3 w, vec3 N) {
  float sum = ambient * (0.75 + 0.25 * N.z) + sun_light * lit * max(dot(N, sun), 0.);
#ifdef NIGHT
  sum += lamp_light(w, N) + beam_at(w, N, eye);
#endif
  return sum;
}
"""

MATTE_VERTEX = (
    "BODY"
    + _LIGHT
    + """
out vec3 place; out vec2 shade;
void main() {
  vec4 w = M * vec4(point, 1.); vec3 N = mat3(M) * normal;
  float clear = clearness(length(eye - w.xyz));
  float tone = paint.w > 0.2 && paint.w < 0.9 ? paint.y * tint : paint.y;
  place = vec3(uv, paint.x);
  shade = vec2(tone * light_on(w.xyz, N) * clear, paint.z * clear + haze * (1. - clear));
  gl_Position = VP * w;
}
"""
)

MATTE_PIXEL = """
#version 330
uniform sampler2DArray pictures; in vec3 place; in vec2 shade; out vec4 seen;
void main() { float t = texture(pictures, place).r; seen = vec4(t * t * shade.x + shade.y, 0., 0., 1.); }
"""

GLOSSY_VERTEX = (
    "BODY"
    + _LIGHT
    + """
out vec3 place; out vec2 shade; out vec3 N; out vec3 w; out vec2 mirror;
void main() {
  vec4 at = M * vec4(point, 1.); N = mat3(M) * normal; w = at.xyz;
  float clear = clearness(length(eye - w));
  float tone = paint.w > 0.2 && paint.w < 0.9 ? min(paint.y * tint, 0.9) : paint.y;
  place = vec3(uv, paint.x); mirror = vec2(paint.w * clear, clear * lit);
  shade = vec2(tone * light_on(w, N) * clear, paint.z * clear + haze * (1. - clear));
  gl_Position = VP * at;
}
"""
)

GLOSSY_PIXEL = """
#version 330
uniform sampler2DArray pictures; uniform vec3 eye; uniform vec3 sun; uniform float sun_light;
uniform float haze; uniform float zenith; uniform float mirrored; uniform float floor_light;
in vec3 place; in vec2 shade; in vec3 N; in vec3 w; in vec2 mirror; out vec4 seen;
void main() {
  float t = texture(pictures, place).r;
  vec3 V = normalize(eye - w); vec3 n = normalize(N); vec3 R = reflect(-V, n);
  float turn = 1. - clamp(dot(n, V), 0., 1.);
  float share = mirror.x * (0.06 + 0.5 * turn * turn * turn);
  float t2 = texture(pictures, vec3(R.xy * 1.3 + w.xy * 0.04, mirrored)).r;
  float open = smoothstep(0.12, 0.4, R.z);
  float around = R.z > 0. ? mix(haze * 1.1 * t2 * t2, mix(haze, zenith, R.z), open) : floor_light;
  float s = max(dot(R, sun), 0.); s *= s; s *= s; s *= s; s *= s; s *= s;
  float glint = min(s * sun_light * mirror.y * mirror.x, 2.);
  seen = vec4(t * t * shade.x + shade.y + share * around + glint, 0., 0., 1.);
}
"""

GROUND_VERTEX = """BODY
out vec3 place; out vec3 shade; out vec2 spot; out vec3 w;
uniform vec2 mask_at; uniform vec2 mask_scale;
void main() {
  w = point; float clear = clearness(length(eye - w));
  place = vec3(uv, paint.x);
  float soft = ambient;
#ifdef NIGHT
  soft += lamp_light(w, vec3(0., 0., 1.));
#endif
  spot = (normal.xy - mask_at) * mask_scale;
  shade = vec3(soft, haze * (1. - clear), paint.y * clear);
  gl_Position = VP * vec4(w, 1.);
}
"""

GROUND_PIXEL = """
#version 330
uniform sampler2DArray pictures; uniform sampler2D mask; uniform float sun_light; uniform float sun_height;
uniform float shadow_floor;
NIGHT_BODY
uniform vec3 eye;
in vec3 place; in vec3 shade; in vec2 spot; in vec3 w; out vec4 seen;
void main() {
  float t = texture(pictures, place).r;
  float bright = 0.;
#ifdef SUNNY
  bright = sun_light * sun_height * texture(mask, spot).r;
#endif
#ifdef NIGHT
  bright += beam_at(w, vec3(0., 0., 1.), eye);
#endif
  float all = shade.x + bright;
  seen = vec4(t * t * shade.z * all + shade.y, 0., 0., shadow_floor);
#ifdef SUNNY
  seen.a = shade.x / all;
#endif
}
"""

SHADOW_VERTEX = """
#version 330
uniform mat4 VP; uniform mat4 M; uniform vec3 away; uniform float floor_m;
in vec3 point;
void main() {
  vec4 w = M * vec4(point, 1.); w.xyz -= away * (max(w.z - floor_m, 0.) / away.z); w.z = floor_m;
  gl_Position = VP * w;
}
"""

SHADOW_PIXEL = """
#version 330
out vec4 seen; void main() { seen = vec4(0., 0., 0., 1.); }
"""

SKY_VERTEX = """
#version 330
uniform mat4 rays; uniform sampler2DArray pictures; uniform vec3 sun; uniform float sun_light;
uniform float haze; uniform float zenith; uniform float cloud; uniform float clouds; in vec2 corner;
out float tone;
void main() {
  vec3 r = normalize((rays * vec4(corner, 0., 1.)).xyz); float up = max(r.z, 0.);
  float t = textureLod(pictures, vec3(r.xy / (up + 0.15) * 0.35, cloud), 2.).r;
  tone = mix(haze, zenith, smoothstep(0.02, 0.6, up)) + clouds * (t * t - 0.5) * smoothstep(0.03, 0.3, up);
  float s = max(dot(r, sun), 0.); s *= s; s *= s; s *= s; float s2 = s * s; s2 *= s2;
  tone += sun_light * (0.3 * s + 3. * s2 * s2);
  gl_Position = vec4(corner, 0.99999, 1.);
}
"""

SKY_PIXEL = """
#version 330
in float tone; out vec4 seen; void main() { seen = vec4(tone, 0., 0., 1.); }
"""

RIDGE_VERTEX = """
#version 330
uniform mat4 VP; uniform vec3 eye; in vec3 point;
void main() { gl_Position = VP * vec4(eye + 100. * point, 1.); gl_Position.z = 0.99998 * gl_Position.w; }
"""

RIDGE_PIXEL = """
#version 330
uniform float haze; out vec4 seen; void main() { seen = vec4(0.75 * haze, 0., 0., 1.); }
"""

RESOLVE_VERTEX = """
#version 330
in vec2 corner; out vec2 at; void main() { at = corner * 0.5 + 0.5; gl_Position = vec4(corner, 0., 1.); }
"""

RESOLVE_PIXEL = """
#version 330
uniform sampler2D scene; uniform sampler2DArray pictures;
uniform float exposure; uniform float veil; uniform float glare; uniform float dashboard; uniform float sweep;
uniform vec3 rain; uniform float drops; uniform float rain_light; in vec2 at; out float seen;
void main() {
  float l = texture(scene, at).r + veil;
#ifdef GLARE
  l += glare * clamp(1. - at.y / 0.42, 0., 1.) * texture(scene, vec2(at.x, 0.95 - at.y)).r;
#endif
#ifdef RAIN
  float near = texture(pictures, vec3(at.x * 2. + rain.z, at.y * 0.45 + rain.y, drops)).r;
  float far = texture(pictures, vec3(at.x * 4. - rain.z, at.y * 0.9 + rain.y * 1.37, drops)).r;
  l = mix(l, rain_light, rain.x * (near * near + 0.5 * far * far));
#endif
#ifdef DASHBOARD
  float edge = dashboard - 0.09 * (at.x - 0.35) * (at.x - 0.35);
  l *= mix(0.06, 1., smoothstep(-0.006, 0.006, at.y - edge));
#endif
#ifdef WIPER
  vec2 arm = at - vec2(0.45, dashboard - 0.1); vec2 along = vec2(sin(sweep), cos(sweep));
  float off = abs(arm.x * along.y * 1.27 - arm.y * along.x);
  l *= mix(0.08, 1., max(smoothstep(0.008, 0.014, off), step(0.8, dot(arm, along))));
#endif
  seen = clamp(l * exposure, 1e-4, 8.);
}
"""

ID_VERTEX = """
#version 330
uniform mat4 VP; uniform mat4 M; in vec3 point; void main() { gl_Position = VP * M * vec4(point, 1.); }
"""

ID_PIXEL = """
#version 330
uniform float id; out float seen; void main() { seen = id; }
"""


FLAGS = ("NIGHT", "SUNNY", "GLARE", "RAIN", "DASHBOARD", "WIPER")


def shader_sources(name: str, flags: frozenset[str]) -> tuple[str, str]:
    """Return the vertex and the fragment shader of a program ("matte", "sky", ...) for some of FLAGS."""
    night = _NIGHT if "NIGHT" in flags else ""
    vertex = globals()[f"{name.upper()}_VERTEX"].replace("BODY", _HEAD + night, 1)
    pixel = globals()[f"{name.upper()}_PIXEL"].replace("NIGHT_BODY", night)
    defines = "".join(f"#define {flag}\n" for flag in FLAGS if flag in flags)
    version = "#version 330\n"
    return tuple(version + defines + text.replace(version, "", 1) for text in (vertex.strip(), pixel.strip()))


def relevant_flags(name: str, flags: frozenset[str]) -> frozenset[str]:
    """Return the flags that change a program."""
    text = "".join(shader_sources(name, frozenset(FLAGS)))
    return frozenset(flag for flag in flags if f"#ifdef {flag}" in text)
