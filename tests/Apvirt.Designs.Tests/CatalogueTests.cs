using Apvirt.Explore.Engine;

namespace Apvirt.Designs.Tests;

/// <summary>Every design of the catalogue is exhausted, and shows its defect or none.</summary>
public sealed class CatalogueTests
{
    public static TheoryData<string> Names => [.. Catalogue.All.Select(entry => entry.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void It_shows_its_defect_or_none(string name)
    {
        CatalogueEntry entry = Catalogue.All.Single(e => e.Name == name);
        DesignResult result = DesignSearch.Run(entry.Make);
        Assert.Equal(Verdict.Exhausted, result.Result.Verdict);
        if (entry.Defect is null)
            Assert.Empty(result.Defects);
        else
            Assert.Contains(result.Defects.Keys, defect => defect.StartsWith(entry.Defect, StringComparison.Ordinal));
    }
}
