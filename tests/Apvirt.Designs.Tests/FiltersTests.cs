using Apvirt.Ap.Architecture;
using static Apvirt.Designs.Filters;

namespace Apvirt.Designs.Tests;

/// <summary>M009 to M011: what the two filters make of the same inputs.</summary>
public sealed class FiltersTests
{
    [Fact]
    public void M009_M011_the_filter_by_domain_keeps_the_adapter_and_the_filter_by_adapter_does_not()
    {
        Masks matrix = new(ApMask.Of(0x04), ApMask.Of(0x04, 0x47, 0x54));
        static bool IsReady(Apqn apqn) => apqn.Apqi is 0x04 or 0x47;
        Assert.Equal(new Masks(ApMask.Of(0x04), ApMask.Of(0x04, 0x47)), ByDomain(matrix, IsReady));
        Assert.Equal(new Masks(ApMask.None, ApMask.Of(0x04, 0x47, 0x54)), ByAdapter(matrix, IsReady));
    }

    [Fact]
    public void M010_looking_at_the_new_domain_only_gives_the_same()
    {
        Random random = new(10);
        for (int i = 0; i < 2000; i++)
        {
            HashSet<Apqn> ready = [];
            foreach (int apid in (int[])[1, 4, 9])
            {
                foreach (int apqi in (int[])[0, 4, 0x47, 0xff])
                {
                    if (random.Next(4) > 0)
                        ready.Add(Apqn.Of(apid, apqi));
                }
            }
            ApMask adapters = Some(random, [1, 4, 9]);
            Masks shadow = new(adapters, ApMask.None);
            ApMask assigned = ApMask.None;
            foreach (int apqi in (int[])[0, 4, 0x47, 0xff])
            {
                assigned = assigned.With(apqi);
                shadow = AddDomain(shadow, apqi, ready.Contains);
                Assert.Equal(ByDomain(new Masks(adapters, assigned), ready.Contains), shadow);
            }
        }
    }

    private static ApMask Some(Random random, int[] ids) => ApMask.Of([.. ids.Where(_ => random.Next(3) > 0)]);
}
