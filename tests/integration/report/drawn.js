// How many traces, or axes of parallel coordinates, each plot shows.
() =>
  Object.fromEntries(
    [...document.querySelectorAll("[id^=plot-]")].map((place) => [
      place.id.replace("plot-", ""),
      place.querySelectorAll(".scatterlayer .trace, .parcoords .y-axis").length,
    ]),
  )
