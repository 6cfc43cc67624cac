"""Classifiers: boosted trees and stacked MLPs."""
