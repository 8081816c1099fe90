"""The connect widget: loader, frame, popup. Its pages are ours, its place is the product's page."""
