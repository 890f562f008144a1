"""The patient at given points: CT slices, tissue properties along scan lines, tissue-anchored scatterers."""
