"""The outline of a lasso, sphere or line in a slice view."""

import vtk

LINE_WIDTH = 2.0
LINE_COLOR = (1.0, 1.0, 0.2)


class Outline:
    """One polyline in one slice view at a time."""

    def __init__(self, scriptedEffect):
        self._effect = scriptedEffect
        self._widget = None
        self._data = vtk.vtkPolyData()
        mapper = vtk.vtkPolyDataMapper2D()
        mapper.SetInputData(self._data)
        self._actor = vtk.vtkActor2D()
        self._actor.SetMapper(mapper)
        self._actor.GetProperty().SetColor(*LINE_COLOR)
        self._actor.GetProperty().SetLineWidth(LINE_WIDTH)

    def draw(self, viewWidget, points):
        """Draw a line through points, in pixels of the view."""
        if viewWidget != self._widget:
            self.clear()
            self._widget = viewWidget
            self._effect.addActor2D(viewWidget, self._actor)
        corners, line = vtk.vtkPoints(), vtk.vtkCellArray()
        line.InsertNextCell(len(points))
        for x, y in points:
            line.InsertCellPoint(corners.InsertNextPoint(float(x), float(y), 0.0))
        self._data.SetPoints(corners)
        self._data.SetLines(line)
        self._effect.scheduleRender(viewWidget)

    def clear(self):
        """Take the line away."""
        if self._widget is not None:
            self._effect.removeActor2D(self._widget, self._actor)
            self._effect.scheduleRender(self._widget)
            self._widget = None
